package webhook

import (
	"sync"
	"time"
)

const (
	// idTTL is how long the id of a delivery is remembered: twice the tolerance. After that its timestamp is outdated.
	idTTL = 2 * tolerance
	// maxIDs bounds the remembered ids. A workspace with 16 events a second reaches it within idTTL.
	maxIDs = 10_000
	// maxID bounds an id, in bytes. Roam's have about 40.
	maxID = 256
)

// deliveryIDs remembers the ids of genuine deliveries. The zero value is ready.
type deliveryIDs struct {
	mu  sync.Mutex // guards the following
	ids map[string]time.Time
	old []string // the same ids, oldest first
}

// add remembers an id, and reports false if it was there.
func (s *deliveryIDs) add(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = make(map[string]time.Time)
	}
	for len(s.old) > 0 && (len(s.old) >= maxIDs || now.Sub(s.ids[s.old[0]]) > idTTL) {
		delete(s.ids, s.old[0])
		s.old = s.old[1:]
	}
	if _, ok := s.ids[id]; ok {
		return false
	}
	s.ids[id] = now
	s.old = append(s.old, id)
	return true
}

// remove forgets an id, so that the same delivery is accepted again.
func (s *deliveryIDs) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id) // add removes it from old when it is due
}
