package cache

import (
	"fmt"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// Store keeps entries. It may be used by many goroutines, and may lose an entry at any time.
type Store interface {
	// Get finds an entry, or nil.
	Get(Key) *Entry
	// Set keeps an entry and tells whether it was taken. If so, the next Get finds it.
	Set(Key, *Entry) bool
	// Size is how much is kept.
	Size() (bytes int64, entries int)
	Close()
}

// Memory is the Store of one process, on ristretto. What is old is pushed out by what is new; ristretto's own clock is not
// used, because freshness depends on rules that may change.
type Memory struct {
	cache   *ristretto.Cache[string, *sized]
	max     int64
	bytes   atomic.Int64
	entries atomic.Int64
}

type sized struct {
	*Entry
	size int64
}

// NewMemory keeps at most maxSize bytes.
func NewMemory(maxSize int64) (*Memory, error) {
	m := &Memory{max: maxSize}
	cache, err := ristretto.NewCache(&ristretto.Config[string, *sized]{
		NumCounters:        max(10*maxSize/(4<<10), 1000), // ten for each entry, as the library advises, at 4 KiB an entry
		MaxCost:            maxSize,
		BufferItems:        64, // the library's advice
		IgnoreInternalCost: true,
		OnExit:             func(s *sized) { m.count(s, -1) },
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	m.cache = cache
	return m, nil
}

func (m *Memory) count(s *sized, sign int64) {
	if s != nil {
		m.bytes.Add(sign * s.size)
		m.entries.Add(sign)
	}
}

// Get finds an entry.
func (m *Memory) Get(k Key) *Entry {
	if s, ok := m.cache.Get(string(k)); ok {
		return s.Entry
	}
	return nil
}

// Set waits until ristretto has decided, which is cheap beside the call to Roam that came before, and asks whether the entry is
// really there: ristretto says yes to what it then drops.
func (m *Memory) Set(k Key, e *Entry) bool {
	s := &sized{e, e.size(k)}
	if s.size > m.max {
		return false
	}
	m.count(s, 1)
	if !m.cache.Set(string(k), s, s.size) {
		m.count(s, -1)
		return false
	}
	m.cache.Wait()
	kept, ok := m.cache.Get(string(k))
	return ok && kept == s
}

// Size is how much is kept.
func (m *Memory) Size() (bytes int64, entries int) { return m.bytes.Load(), int(m.entries.Load()) }

// Close ends ristretto's goroutines.
func (m *Memory) Close() { m.cache.Close() }

var _ Store = (*Memory)(nil)
