package cache

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

// Memory is the Store of one process. It uses ristretto, which evicts the entries that are used least. It does not use ristretto's
// expiry, because a configuration reload may change the rules of freshness.
//
// ristretto rejects a new entry that was requested less often than the ones it would evict. But such an entry has cost an upstream
// call and is likely to be requested again soon. So Memory puts it into the overflow, where newer ones replace it.
type Memory struct {
	cache *ristretto.Cache[string, *item]
	max   int64 // bytes of the largest entry

	mu       sync.Mutex // guards the following; never held while ristretto is called
	bytes    int64
	items    map[string]map[Key]*item // all entries in ristretto and the overflow, by route
	overflow overflow
	entries  int
}

// item is an entry with its key and its size in bytes.
type item struct {
	*Entry
	key  Key
	size int64
}

// overflowShare is the part of MaxSize for the overflow: a sixteenth of the default of 64 MiB holds the largest storable answer.
const overflowShare = 16

// NewMemory returns a Memory of at most maxSize bytes.
func NewMemory(maxSize int64) (*Memory, error) {
	m := &Memory{max: maxSize - maxSize/overflowShare, items: make(map[string]map[Key]*item)}
	m.overflow.max, m.overflow.items = maxSize/overflowShare, make(map[Key]*list.Element)
	cache, err := ristretto.NewCache(&ristretto.Config[string, *item]{
		NumCounters:        max(10*maxSize/(4<<10), 1000), // ten for each entry, as the library recommends; at 4 KiB an entry
		MaxCost:            m.max,
		BufferItems:        64, // the library's recommendation
		IgnoreInternalCost: true,
		OnExit:             m.onExit,
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	m.cache = cache
	return m, nil
}

// Get returns the entry of a key, or nil.
func (m *Memory) Get(k Key) *Entry {
	s, ok := m.cache.Get(string(k))
	if !ok {
		m.mu.Lock()
		s = m.overflow.find(k)
		m.mu.Unlock()
	}
	if s == nil || s.key != k { // ristretto compares only hashes of keys
		return nil
	}
	return s.Entry
}

// Set replaces the entry of a key. It first removes the old one, because ristretto makes no room when an entry grows. Then it waits
// for ristretto's decision, which is cheap compared with the upstream call. At last it looks the entry up, because ristretto may
// accept an entry and drop it.
func (m *Memory) Set(k Key, e *Entry) bool {
	m.remove(k)
	s := &item{e, k, e.size(k)}
	if s.size > m.max {
		return false
	}
	m.add(s)
	if m.cache.Set(string(k), s, s.size) {
		m.cache.Wait()
		if found, ok := m.cache.Get(string(k)); ok && found == s {
			return true
		}
	} else {
		m.onExit(s)
	}
	return m.addOverflow(s)
}

// addOverflow puts an entry that ristretto rejected into the overflow, and reports whether it fits.
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

// Invalidate removes the entries of all routes that match.
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

// onExit is ristretto's callback for every entry that is no longer in it.
func (m *Memory) onExit(s *item) {
	if s == nil {
		return
	}
	m.mu.Lock()
	m.removeLocked(s)
	m.mu.Unlock()
}

// addLocked and removeLocked count an entry. The lock is held.
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

// Size returns the bytes and the number of all entries.
func (m *Memory) Size() (bytes int64, entries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes, m.entries
}

// Close stops ristretto's goroutines.
func (m *Memory) Close() { m.cache.Close() }

var _ Store = (*Memory)(nil)

// overflow holds the newest entries that ristretto rejected, first in, first out.
type overflow struct {
	max, bytes int64
	items      map[Key]*list.Element
	order      list.List // of *item, oldest first
}

func (o *overflow) find(k Key) *item {
	if e := o.items[k]; e != nil {
		return e.Value.(*item)
	}
	return nil
}

// add adds s, and returns the entries that it removed to make room.
func (o *overflow) add(s *item) (gone []*item, ok bool) {
	if s.size > o.max {
		return nil, false
	}
	for o.bytes+s.size > o.max {
		gone = append(gone, o.remove(o.order.Front().Value.(*item).key))
	}
	o.items[s.key] = o.order.PushBack(s)
	o.bytes += s.size
	return gone, true
}

func (o *overflow) remove(k Key) *item {
	e := o.items[k]
	if e == nil {
		return nil
	}
	delete(o.items, k)
	s := o.order.Remove(e).(*item)
	o.bytes -= s.size
	return s
}
