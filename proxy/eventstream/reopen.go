package eventstream

import (
	"context"
	"time"
)

// A client opens a stream that ended again at once, or after a second, for as long as it lives; each time costs a call. It waits
// firstReopen after the first end, twice as long after each further one, and lastReopen at most: two calls a minute.
const (
	firstReopen = time.Second
	lastReopen  = 30 * time.Second
)

// lastingStream is how long a stream lives that was not closed for nothing. After it the waits begin anew.
const lastingStream = time.Minute

// forgetReopen is after how long the waits of a client that did not come back are forgotten, and maxReopens how many clients are
// remembered: as many as connections are allowed, by far.
const (
	forgetReopen = 10 * time.Minute
	maxReopens   = 10_000
)

// backoff is when a client may open its stream again.
type backoff struct {
	wait   time.Duration
	opens  time.Time
	forget time.Time
}

// noteEnd notes that Roam ended a stream of a client.
func (s *Streams) noteEnd(client string, opened time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	r := s.reopens[client]
	switch {
	case r == nil:
		s.makeRoom(now)
		r = &backoff{wait: firstReopen}
		s.reopens[client] = r
	case now.Sub(opened) >= lastingStream:
		r.wait = firstReopen
	case now.Before(r.opens): // another stream of the same client ended just before
		return
	default:
		r.wait = min(2*r.wait, lastReopen)
	}
	r.opens, r.forget = now.Add(r.wait), now.Add(forgetReopen)
}

// makeRoom removes clients that are forgotten, and any tenth of the others where that is not enough. The lock is held.
func (s *Streams) makeRoom(now time.Time) {
	if len(s.reopens) < maxReopens {
		return
	}
	for client, r := range s.reopens {
		if now.After(r.forget) {
			delete(s.reopens, client)
		}
	}
	if len(s.reopens) < maxReopens {
		return
	}
	for client := range s.reopens {
		if len(s.reopens) < maxReopens*9/10 {
			return
		}
		delete(s.reopens, client)
	}
}

// waitToReopen waits until a client may open its stream.
func (s *Streams) waitToReopen(ctx context.Context, client string) error {
	s.mu.Lock()
	var opens time.Time
	if r := s.reopens[client]; r != nil && time.Now().Before(r.forget) {
		opens = r.opens
	}
	s.mu.Unlock()
	wait := time.Until(opens)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
