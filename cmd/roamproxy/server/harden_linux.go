package server

import "golang.org/x/sys/unix"

// Harden keeps the memory of this process, which holds credentials, out of core dumps and away from the user's other processes. Neither
// call needs a privilege. If one fails, the process continues unprotected.
func Harden() {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
