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
// call and is likely to be asked for again soon, so it waits in the lobby, until newer ones push it out from there.
type Memory struct {
	cache *ristretto.Cache[string, *sized]
	max   int64 // of an entry

	mu      sync.Mutex // guards the following; never held while ristretto is called
	bytes   int64
	kept    map[string]map[Key]*sized // everything that is in ristretto or the lobby, by route
	lobby   lobby
	entries int
}

type sized struct {
	*Entry
	key  Key
	size int64
}

// lobbyShare is the part of the bytes for newcomers: a sixteenth of the usual 64 MiB holds the largest answer that is kept.
const lobbyShare = 16

// NewMemory keeps at most maxSize bytes.
func NewMemory(maxSize int64) (*Memory, error) {
	m := &Memory{max: maxSize - maxSize/lobbyShare, kept: make(map[string]map[Key]*sized)}
	m.lobby.max, m.lobby.waiting = maxSize/lobbyShare, make(map[Key]*list.Element)
	cache, err := ristretto.NewCache(&ristretto.Config[string, *sized]{
		NumCounters:        max(10*maxSize/(4<<10), 1000), // ten for each entry, as the library advises, at 4 KiB an entry
		MaxCost:            m.max,
		BufferItems:        64, // the library's advice
		IgnoreInternalCost: true,
		OnExit:             m.left,
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
		s = m.lobby.find(k)
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
	s := &sized{e, k, e.size(k)}
	if s.size > m.max {
		return false
	}
	m.enter(s)
	if m.cache.Set(string(k), s, s.size) {
		m.cache.Wait()
		if kept, ok := m.cache.Get(string(k)); ok && kept == s {
			return true
		}
	} else {
		m.left(s)
	}
	return m.wait(s)
}

// wait lets a newcomer into the lobby.
func (m *Memory) wait(s *sized) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone, ok := m.lobby.enter(s)
	for _, g := range gone {
		m.forget(g)
	}
	if ok {
		m.note(s)
	}
	return ok
}

func (m *Memory) remove(k Key) {
	m.cache.Del(string(k))
	m.mu.Lock()
	if s := m.lobby.leave(k); s != nil {
		m.forget(s)
	}
	m.mu.Unlock()
}

// Drop forgets what matches.
func (m *Memory) Drop(match func(route string) bool) int {
	var all []Key
	answers := 0
	m.mu.Lock()
	for route, keys := range m.kept {
		if match(route) {
			for k, s := range keys {
				all = append(all, k)
				if !s.index() {
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

func (m *Memory) enter(s *sized) {
	m.mu.Lock()
	m.note(s)
	m.mu.Unlock()
}

// left is told by ristretto of every entry that is no longer there, whatever the reason.
func (m *Memory) left(s *sized) {
	if s == nil {
		return
	}
	m.mu.Lock()
	m.forget(s)
	m.mu.Unlock()
}

// note and forget count what is kept. The lock is held.
func (m *Memory) note(s *sized) {
	keys := m.kept[s.Route]
	if keys == nil {
		keys = make(map[Key]*sized)
		m.kept[s.Route] = keys
	}
	if before := keys[s.key]; before != nil {
		m.count(before, -1)
	}
	keys[s.key] = s
	m.count(s, 1)
}

func (m *Memory) forget(s *sized) {
	keys := m.kept[s.Route]
	if keys[s.key] != s {
		return
	}
	delete(keys, s.key)
	if len(keys) == 0 {
		delete(m.kept, s.Route)
	}
	m.count(s, -1)
}

func (m *Memory) count(s *sized, sign int) {
	m.bytes += int64(sign) * s.size
	if !s.index() {
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

// lobby holds the newest of those who were refused, first in, first out.
type lobby struct {
	max, bytes int64
	waiting    map[Key]*list.Element
	order      list.List // of *sized, oldest first
}

func (l *lobby) find(k Key) *sized {
	if e := l.waiting[k]; e != nil {
		return e.Value.(*sized)
	}
	return nil
}

// enter makes room for s, and tells who had to go.
func (l *lobby) enter(s *sized) (gone []*sized, ok bool) {
	if s.size > l.max {
		return nil, false
	}
	for l.bytes+s.size > l.max {
		gone = append(gone, l.leave(l.order.Front().Value.(*sized).key))
	}
	l.waiting[s.key] = l.order.PushBack(s)
	l.bytes += s.size
	return gone, true
}

func (l *lobby) leave(k Key) *sized {
	e := l.waiting[k]
	if e == nil {
		return nil
	}
	delete(l.waiting, k)
	s := l.order.Remove(e).(*sized)
	l.bytes -= s.size
	return s
}
