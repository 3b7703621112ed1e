package server

import "golang.org/x/sys/unix"

// Harden keeps the memory of this process, which holds credentials, out of core dumps and out of reach of the user's other
// processes. Neither call fails for want of a privilege, and one that fails leaves the process as any other is.
func Harden() {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
