package paging

import (
	"sync"
	"time"
)

// shape is what is known about the pages of a list.
type shape int

const (
	unknown shape = iota
	wide          // it has pages, and accepts a large limit
	plain         // it has no pages, or refuses a large limit: requests are sent as the tool made them
)

// shapes remembers the shapes of lists, so that finding out costs one call and not one for each request.
type shapes struct {
	mu    sync.Mutex // guards known
	known map[string]knownShape
}

type knownShape struct {
	shape shape
	until time.Time
}

const (
	shapeTTL  = time.Hour // Roam may change; finding out again costs one call an hour
	maxShapes = 1000      // Roam has about 50 lists; a caller can make up more
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
