package paging

import (
	"sync"
	"time"
)

// shape is what is known of a list.
type shape int

const (
	unknown shape = iota
	wide          // it has pages, and takes a large limit
	plain         // it has none, or refuses the limit: it is asked as the tool asks
)

// shapes remembers what lists are like, so that finding out costs one call and not one each time.
type shapes struct {
	mu    sync.Mutex // guards known
	known map[string]knownShape
}

type knownShape struct {
	shape shape
	until time.Time
}

const (
	shapeTTL  = time.Hour // Roam may change, and one call an hour finds out
	maxShapes = 1000      // Roam has some 50 lists; more are made up by a caller
)

func (s *shapes) of(list string) shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.known[list]; ok && time.Now().Before(k.until) {
		return k.shape
	}
	return unknown
}

func (s *shapes) learn(list string, is shape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxShapes {
		s.known = make(map[string]knownShape)
	}
	s.known[list] = knownShape{is, time.Now().Add(shapeTTL)}
}
