package eventstream

import (
	"context"
	"errors"
	"sync"
)

// ErrDraining reports that the process is stopping, so that no stream is opened. Nothing was sent.
var ErrDraining = errors.New("eventstream: roamproxy is stopping")

// Streams holds the open streams of a process, and the waits of their clients. It may be used by many goroutines.
type Streams struct {
	mu       sync.Mutex // guards the following
	draining bool
	open     map[*stream]bool
	reopens  map[string]*backoff // by client
	absent   map[string]*absence // by upstream and path
}

// New returns an empty Streams.
func New() *Streams {
	return &Streams{open: make(map[*stream]bool), reopens: make(map[string]*backoff), absent: make(map[string]*absence)}
}

// stream is a request for one stream, from its arrival to its end.
type stream struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// begin registers a stream, unless the process stops.
func (s *Streams) begin(ctx context.Context) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, ErrDraining
	}
	st := &stream{}
	st.ctx, st.cancel = context.WithCancelCause(ctx)
	s.open[st] = true
	return st, nil
}

func (s *Streams) end(st *stream) {
	s.mu.Lock()
	delete(s.open, st)
	s.mu.Unlock()
	st.cancel(nil)
}

// isDrained reports whether Drain ended the stream.
func (s *stream) isDrained() bool { return errors.Is(context.Cause(s.ctx), ErrDraining) }

// Drain ends all streams, and refuses new ones. To a client an ended stream looks complete, so the client opens another one, at the next
// process.
func (s *Streams) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for st := range s.open {
		st.cancel(ErrDraining)
	}
}
