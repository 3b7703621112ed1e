package redistest

import (
	"os"
	"os/exec"
)

// Program returns the path of a program that a test runs, such as redis-server. If it is missing the test is skipped, and make test
// reports that. If the environment variable CI is set, as in .ci/run, the test fails instead, so no skip goes unnoticed.
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
