package cache

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

// Memory is the Store of one process, on ristretto. What is used less is pushed out by what is used more; ristretto's own clock
// is not used, because freshness depends on rules that may change.
//
// ristretto refuses a newcomer that was asked for less often than what it would push out. Such an answer was paid for with a
// call and is likely to be asked for again soon, so it waits in the overflow, until newer ones push it out from there.
type Memory struct {
	cache *ristretto.Cache[string, *item]
	max   int64 // of an entry

	mu       sync.Mutex // guards the following; never held while ristretto is called
	bytes    int64
	items    map[string]map[Key]*item // everything that is in ristretto or the overflow, by route
	overflow overflow
	entries  int
}

type item struct {
	*Entry
	key  Key
	size int64
}

// overflowShare is the part of the bytes for newcomers: a sixteenth of the usual 64 MiB holds the largest answer that is kept.
const overflowShare = 16

// NewMemory keeps at most maxSize bytes.
func NewMemory(maxSize int64) (*Memory, error) {
	m := &Memory{max: maxSize - maxSize/overflowShare, items: make(map[string]map[Key]*item)}
	m.overflow.max, m.overflow.items = maxSize/overflowShare, make(map[Key]*list.Element)
	cache, err := ristretto.NewCache(&ristretto.Config[string, *item]{
		NumCounters:        max(10*maxSize/(4<<10), 1000), // ten for each entry, as the library advises, at 4 KiB an entry
		MaxCost:            m.max,
		BufferItems:        64, // the library's advice
		IgnoreInternalCost: true,
		OnExit:             m.onExit,
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	m.cache = cache
	return m, nil
}

// Get finds an entry.
func (m *Memory) Get(k Key) *Entry {
	s, ok := m.cache.Get(string(k))
	if !ok {
		m.mu.Lock()
		s = m.overflow.find(k)
		m.mu.Unlock()
	}
	if s == nil || s.key != k { // ristretto compares hashes
		return nil
	}
	return s.Entry
}

// Set waits until ristretto has decided, which is cheap beside the call to Roam that came before, and asks whether the entry is
// really there: ristretto says yes to what it then drops. What the key had goes first, for ristretto makes no room for an
// entry that takes the place of a smaller one.
func (m *Memory) Set(k Key, e *Entry) bool {
	m.remove(k)
	s := &item{e, k, e.size(k)}
	if s.size > m.max {
		return false
	}
	m.add(s)
	if m.cache.Set(string(k), s, s.size) {
		m.cache.Wait()
		if kept, ok := m.cache.Get(string(k)); ok && kept == s {
			return true
		}
	} else {
		m.onExit(s)
	}
	return m.addOverflow(s)
}

// wait lets a newcomer into the overflow.
func (m *Memory) addOverflow(s *item) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone, ok := m.overflow.add(s)
	for _, g := range gone {
		m.removeLocked(g)
	}
	if ok {
		m.addLocked(s)
	}
	return ok
}

func (m *Memory) remove(k Key) {
	m.cache.Del(string(k))
	m.mu.Lock()
	if s := m.overflow.remove(k); s != nil {
		m.removeLocked(s)
	}
	m.mu.Unlock()
}

// Drop forgets what matches.
func (m *Memory) Invalidate(match func(route string) bool) int {
	var all []Key
	answers := 0
	m.mu.Lock()
	for route, keys := range m.items {
		if match(route) {
			for k, s := range keys {
				all = append(all, k)
				if !s.isVaryIndex() {
					answers++
				}
			}
		}
	}
	m.mu.Unlock()
	for _, k := range all {
		m.remove(k)
	}
	return answers
}

func (m *Memory) add(s *item) {
	m.mu.Lock()
	m.addLocked(s)
	m.mu.Unlock()
}

// left is told by ristretto of every entry that is no longer there, whatever the reason.
func (m *Memory) onExit(s *item) {
	if s == nil {
		return
	}
	m.mu.Lock()
	m.removeLocked(s)
	m.mu.Unlock()
}

// note and forget count what is kept. The lock is held.
func (m *Memory) addLocked(s *item) {
	keys := m.items[s.Route]
	if keys == nil {
		keys = make(map[Key]*item)
		m.items[s.Route] = keys
	}
	if before := keys[s.key]; before != nil {
		m.count(before, -1)
	}
	keys[s.key] = s
	m.count(s, 1)
}

func (m *Memory) removeLocked(s *item) {
	keys := m.items[s.Route]
	if keys[s.key] != s {
		return
	}
	delete(keys, s.key)
	if len(keys) == 0 {
		delete(m.items, s.Route)
	}
	m.count(s, -1)
}

func (m *Memory) count(s *item, sign int) {
	m.bytes += int64(sign) * s.size
	if !s.isVaryIndex() {
		m.entries += sign
	}
}

// Size is how much is kept.
func (m *Memory) Size() (bytes int64, entries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes, m.entries
}

// Close ends ristretto's goroutines.
func (m *Memory) Close() { m.cache.Close() }

var _ Store = (*Memory)(nil)

// overflow holds the newest of those who were refused, first in, first out.
type overflow struct {
	max, bytes int64
	items      map[Key]*list.Element
	order      list.List // of *item, oldest first
}

func (l *overflow) find(k Key) *item {
	if e := l.items[k]; e != nil {
		return e.Value.(*item)
	}
	return nil
}

// enter makes room for s, and tells who had to go.
func (l *overflow) add(s *item) (gone []*item, ok bool) {
	if s.size > l.max {
		return nil, false
	}
	for l.bytes+s.size > l.max {
		gone = append(gone, l.remove(l.order.Front().Value.(*item).key))
	}
	l.items[s.key] = l.order.PushBack(s)
	l.bytes += s.size
	return gone, true
}

func (l *overflow) remove(k Key) *item {
	e := l.items[k]
	if e == nil {
		return nil
	}
	delete(l.items, k)
	s := l.order.Remove(e).(*item)
	l.bytes -= s.size
	return s
}
