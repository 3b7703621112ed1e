// Package usage measures for tests and benchmarks what a process uses of its machine.
package usage

import (
	"runtime"
	"syscall"
	"time"
)

// ProcessorTime returns the processor time that this process has used so far. On a busy machine it varies less than the time that passes.
func ProcessorTime() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Memory returns the statistics of the memory after garbage collection: once for garbage, once for what a sync.Pool held, and once for
// what finalizers held.
func Memory() (m runtime.MemStats) {
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}

// Heap returns the bytes of the heap that are in use after garbage collection.
func Heap() int64 { return int64(Memory().HeapAlloc) }
