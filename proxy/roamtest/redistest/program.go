package redistest

import (
	"os"
	"os/exec"
)

// skipper is what LeaveOut needs of a test.
type skipper interface {
	Helper()
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// LeaveOut skips a test that needs something which is not here, and says why. If the environment variable CI is set, as in .ci/run, the
// test fails instead, so no skip goes unnoticed.
func LeaveOut(t skipper, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
		return
	}
	t.Skipf("left out: "+format, args...)
}

// Program returns the path of a program that a test runs, such as redis-server. If it is missing the test is left out, and make e2e
// reports that.
func Program(t skipper, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		LeaveOut(t, "it drives %s, and that is not here: %v", name, err)
		return ""
	}
	return path
}

// Module returns the path of an interpreter that can load a module, by a command line such as -e require('axios-retry'). Without the
// module the test is left out.
func Module(t skipper, interpreter, flag, load string) string {
	t.Helper()
	path := Program(t, interpreter)
	if path == "" {
		return ""
	}
	if out, err := exec.Command(path, flag, load).CombinedOutput(); err != nil {
		LeaveOut(t, "%s cannot do %s: %s", interpreter, load, out)
		return ""
	}
	return path
}
