package statefile

import (
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be a process that holds the lock of a directory.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STATEFILE_TEST_LOCK"); dir != "" {
		holdLock(dir)
	}
	syscall.Umask(0o022) // the directories of the tests are state directories, which others may not write
	goleak.VerifyTestMain(m)
}
