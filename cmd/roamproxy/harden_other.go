//go:build !linux

package main

import "syscall"

// harden keeps the memory of this process, which holds credentials, out of core dumps.
func harden() { syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
