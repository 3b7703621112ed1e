package limiter

import (
	"os"
	"testing"
)

// A state file that is there says nothing of the room that its next write will find.
func TestAFullDiskIsKnownAtStart(t *testing.T) {
	knownAtStart(t, func(path string) error { return os.Symlink("/dev/full", path) })
}
