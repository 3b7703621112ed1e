package server

import (
	"runtime"
	"runtime/debug"

	"roamproxy/cmd/roamproxy/config"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// collectAt is the garbage collector's target in percent. With Go's default of 100 it runs whenever as much was allocated as is in use,
// which is about 5 MiB without cached answers. A flood of hits would then start it a hundred times a second, for a twelfth of a hit's
// CPU. Much more than 200 would keep the garbage of many calls in memory. The memory limit bounds both.
const collectAt = 200

// perConnection is the memory of a queued call with its connection in bytes. It is 28 KiB measured on a new connection (BenchmarkWaiting),
// and 4 KiB more where earlier calls have grown its stack.
const perConnection = 33 << 10

// fixedMemory is the memory in bytes besides cached answers and queued calls: program, stacks, and garbage.
const fixedMemory = 40 << 20

// ofContainer is the percentage of a container's memory that the limit may use. The rest is for what Go's limit does not count: the
// program's own pages and the kernel's buffers.
const ofContainer = 85

// setMemoryLimit sets the garbage collector's target and memory limit. GOGC and GOMEMLIMIT in the environment take precedence.
func setMemoryLimit(c config.Config, getenv func(string) string) {
	if rate := memProfileRate(c.Admin.Debug); runtime.MemProfileRate != rate {
		runtime.MemProfileRate = rate
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if getenv("GOMEMLIMIT") == "" {
		container, _ := memlimit.FromCgroup() // 0: no container, or one without a limit
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

// memoryLimit returns the memory in bytes that the configuration may use, at most ofContainer of the container's. It is a soft limit:
// near it the collector works harder. Below what is really in use the collector would take a quarter of a core for no gain.
func memoryLimit(c config.Config, container uint64) int64 {
	wanted := uint64(c.Cache.MaxSize+c.Limits.QueueBytes) + uint64(c.Limits.MaxConnections)*perConnection + fixedMemory
	if container > 0 {
		wanted = min(wanted, container/100*ofContainer)
	}
	return int64(wanted)
}
