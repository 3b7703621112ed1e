package eventstream

import (
	"context"
	"time"
)

// A client reopens a stream that has ended, at once or after a second, and each time costs a call. roamproxy makes it wait firstReopen
// after the first end, twice as long after each further end, and at most lastReopen: two calls a minute.
const (
	firstReopen = time.Second
	lastReopen  = 30 * time.Second
)

// lastingStream is how long a stream must last to reset the waits of its client.
const lastingStream = time.Minute

// forgetReopen is how long the waits of a client are remembered. maxReopens bounds the remembered clients; it is far above the number of
// connections.
const (
	forgetReopen = 10 * time.Minute
	maxReopens   = 10_000
)

// backoff says when a client may reopen its stream.
type backoff struct {
	wait   time.Duration
	opens  time.Time
	forget time.Time
}

// noteEnd records that Roam ended a stream of a client.
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
	case now.Before(r.opens): // another stream of this client has ended a moment ago
		return
	default:
		r.wait = min(2*r.wait, lastReopen)
	}
	r.opens, r.forget = now.Add(r.wait), now.Add(forgetReopen)
}

// makeRoom removes clients that have not come back, and if that is not enough a tenth of the others. The lock is held.
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

// waitToReopen waits until a client may open its stream, or ctx ends.
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
