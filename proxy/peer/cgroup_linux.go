package peer

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
)

// cgroups finds the names of cgroups by their id, which is the inode of their directory (cgroups(7)). It is safe for concurrent use.
type cgroups struct {
	root string

	mu    sync.Mutex // guards the following
	names map[uint64]string
}

// Bounds on time and memory, for a machine with very many cgroups. A laptop has about 100, a node of a cluster about 2,000.
const (
	maxDirectories = 5000
	maxCgroups     = 1000
)

func newCgroups(root string) *cgroups {
	if info, err := os.Stat(filepath.Join(root, "unified")); err == nil && info.IsDir() {
		root = filepath.Join(root, "unified") // systemd's hybrid layout
	}
	return &cgroups{root: root, names: make(map[uint64]string)}
}

// name returns the systemd service of a cgroup, or "".
func (c *cgroups) name(id uint64) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name, ok := c.names[id]; ok {
		return name
	}
	if len(c.names) >= maxCgroups {
		clear(c.names)
	}
	c.names[id] = unitName(c.find(id))
	return c.names[id]
}

// find returns the path of a cgroup, or "".
func (c *cgroups) find(id uint64) (path string) {
	left := maxDirectories
	filepath.WalkDir(c.root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		if left--; left < 0 {
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Ino == id {
			path = at
			return fs.SkipAll
		}
		return nil
	})
	return path
}

// unitName returns the service in a path such as /sys/fs/cgroup/system.slice/standup.service, or "". The names of sessions, slices and
// containers would tell a person nothing.
func unitName(path string) string {
	for path != "" && path != "/" && path != "." {
		base := filepath.Base(path)
		if name, ok := strings.CutSuffix(base, ".service"); ok && !regexp.MustCompile(`^user@\d+$`).MatchString(name) {
			return name
		}
		path = filepath.Dir(path)
	}
	return ""
}
