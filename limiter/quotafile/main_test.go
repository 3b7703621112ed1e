package quotafile

import (
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // the directories of the tests are state directories, which others may not write
	goleak.VerifyTestMain(m)
}
