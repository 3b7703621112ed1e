package server

import (
	"runtime"
	"runtime/debug"

	"roamproxy/cmd/roamproxy/config"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The collector's usual target of 100 has it run whenever as much was allocated as is in use. Of that there is little here, some
// 5 MiB without kept answers, so that a flood of hits would have it run a hundred times a second, for a twelfth of a hit's CPU. Much
// more than 200 would leave the garbage of many calls lying about; the memory limit bounds both.
const collectAt = 200

// perConnection is what a queued call takes at most with its connection: 28 KiB, measured on a new one (BenchmarkWaiting), and 4 more
// where calls before have left it a larger stack.
const perConnection = 33 << 10

// besides is what roamproxy takes besides kept answers and waiting calls: program, stacks, and garbage.
const besides = 40 << 20

// ofContainer is the part of a container's memory that is ours to plan with, in hundredths. The rest is for what the limit of the
// runtime does not count: the program's own pages and the kernel's buffers.
const ofContainer = 85

// collect sets how much memory the garbage collector may let us use. GOGC and GOMEMLIMIT in the environment have precedence. Allocations
// are sampled only where /debug/pprof shows them: under a flood of hits that is a hundredth of the CPU.
func collect(c config.Config, getenv func(string) string) {
	if rate := memProfileRate(c.Admin.Debug); runtime.MemProfileRate != rate {
		runtime.MemProfileRate = rate
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if getenv("GOMEMLIMIT") == "" {
		container, _ := memlimit.FromCgroup() // 0: there is none, or it has no bound
		debug.SetMemoryLimit(memoryLimit(c, container))
	}
}

// memProfileRate returns how many bytes are allocated from one sample to the next; 0: there are no samples.
func memProfileRate(debug bool) int {
	if debug {
		return 512 << 10 // Go's default
	}
	return 0
}

// memoryLimit is what the configuration lets be in use, within what the container has. It is no bound of ours: nearer to it the
// collector works harder, and below what is really in use it would take a quarter of a core for nothing.
func memoryLimit(c config.Config, container uint64) int64 {
	wanted := uint64(c.Cache.MaxSize+c.Limits.QueueBytes) + uint64(c.Limits.MaxConnections)*perConnection + besides
	if container > 0 {
		wanted = min(wanted, container/100*ofContainer)
	}
	return int64(wanted)
}
