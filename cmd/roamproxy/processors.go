package main

import "runtime"

// oneCore has Go's code run on one core at a time, until back is called, unless GOMAXPROCS in the environment says on how many. One
// answers some 25,000 kept answers or 8,000 calls a second, where a quota asks for one, and roamproxy is a guest on a machine that
// is there for others. With two, Go wakes a thread on the other core for much that takes microseconds: a hit then took 38 µs of CPU
// rather than 30, a call passed through 155 rather than 125, and each of these 310 µs of time rather than 200.
func oneCore(getenv func(string) string) (back func()) {
	if getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	before := runtime.GOMAXPROCS(1)
	return func() { runtime.GOMAXPROCS(before) }
}
