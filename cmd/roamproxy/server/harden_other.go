//go:build !linux

package server

import "syscall"

// Harden keeps the memory of this process, which holds credentials, out of core dumps.
func Harden() { syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
