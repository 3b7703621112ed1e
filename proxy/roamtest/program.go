package roamtest

import (
	"os"
	"os/exec"
)

// Program is the path of a program that a test drives, such as redis-server. Where it is missing the test is left out, and make
// test says so; where CI is set, as in .ci/run, the test fails, so that nothing is left out unseen.
func Program(t interface {
	Helper()
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("this test drives %s, and it is not here: %v", name, err)
		return ""
	}
	t.Skipf("left out: it drives %s, and that is not here", name)
	return ""
}
