package limiter

import (
	"sync"
	"time"
)

// memory is a Keeper for as long as a test runs.
type memory struct {
	mu   sync.Mutex // guards kept
	kept Kept       // zero: nothing yet
}

// Keep replaces the latest state.
func (m *memory) Keep(k Kept) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = k
}

func (m *memory) latest() Kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept
}

// restore is what a restart begins with, as it is of a file: b stays full where nothing was kept, and a state of the future empties it.
func (m *memory) restore(b *Local) (r Restored) {
	now, k := time.Now(), m.latest()
	switch {
	case !k.Sound():
	case k.At.After(now):
		b.Restore(now, 0)
	default:
		r = k.Restore(b, now, now.Sub(k.At))
	}
	return r
}
