package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// flight is one fill for everybody who asks the same while it is under way. It runs on a context of its own: who leaves fails
// nobody else, and only when all have left is it called off, so that no token goes to an answer that nobody wants.
type flight struct {
	route  string
	askers int  // guarded by Cache.mu
	alone  bool // the one who asked first has left; guarded by Cache.mu
	cancel context.CancelFunc
	done   chan struct{}

	// These are written before done is closed.
	answer *Answer // whole, for everybody
	stream *Answer // not to be kept: for the one who asked first
	err    error
}

// share joins the flight for this question, or starts it.
func (c *Cache) share(ctx context.Context, q Question, ask Fill) (*Answer, error) {
	for {
		f, first := c.join(ctx, q, ask)
		select {
		case <-f.done:
		case <-ctx.Done():
			c.leave(q.Key, f, first)
			return nil, context.Cause(ctx)
		}
		c.leave(q.Key, f, false)
		switch {
		case first && f.stream != nil:
			return f.stream, nil
		case f.stream != nil:
			return c.alone(ctx, q, ask) // each waits in the line for itself, which keeps them from coming all at once
		case f.err != nil && !first && c.o.Throttled(f.err):
			continue // the first one's longest wait is not ours
		case f.err != nil:
			return nil, f.err
		}
		a := *f.answer
		if !first {
			a.Result, a.Stored = Shared, false
		}
		return &a, nil
	}
}

func (c *Cache) join(ctx context.Context, q Question, ask Fill) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[q.Key]; f != nil {
		f.askers++
		return f, false
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f = &flight{route: q.Route, askers: 1, cancel: cancel, done: make(chan struct{})}
	c.flights[q.Key] = f
	go func() {
		defer func() {
			if p := recover(); p != nil {
				f.err = fmt.Errorf("cache: a fill of %s panicked: %v", q.Route, p)
			}
			c.mu.Lock()
			if c.flights[q.Key] == f {
				delete(c.flights, q.Key)
			}
			close(f.done)
			unwanted := f.stream != nil && f.alone
			c.mu.Unlock()
			if unwanted {
				f.stream.Stream.Close()
			}
			if f.stream == nil {
				cancel()
			}
		}()
		f.fly(own, c, q, ask)
	}()
	return f, true
}

// leave takes an asker away. A stream that its reader does not want any more is closed.
func (c *Cache) leave(key Key, f *flight, first bool) {
	c.mu.Lock()
	f.askers--
	f.alone = f.alone || first
	last := f.askers == 0
	landed := false
	select {
	case <-f.done:
		landed = true
	default:
	}
	if last && !landed {
		f.cancel()
		if c.flights[key] == f {
			delete(c.flights, key)
		}
	}
	c.mu.Unlock()
	if first && landed && f.stream != nil {
		f.stream.Stream.Close()
	}
}

func (f *flight) fly(ctx context.Context, c *Cache, q Question, ask Fill) {
	deadline := time.AfterFunc(c.o.FillTimeout, f.cancel)
	f.answer, f.err = c.fetch(ctx, q, ask)
	if f.err != nil && ctx.Err() != nil {
		if f.err = context.Canceled; !deadline.Stop() {
			f.err = context.DeadlineExceeded
		}
		return
	}
	deadline.Stop()
	if f.answer != nil && f.answer.Stream != nil {
		f.stream, f.answer = f.answer, nil
		f.stream.Stream = &ending{f.stream.Stream, f.cancel}
	}
}

// ending calls off the fill's context when its reader is done.
type ending struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (e *ending) Close() error {
	defer e.cancel()
	return e.ReadCloser.Close()
}

// alone fills for one asker, and keeps the answer for all.
func (c *Cache) alone(ctx context.Context, q Question, ask Fill) (*Answer, error) {
	a, err := c.fetch(ctx, q, ask)
	if a != nil {
		a.fwd = "request"
	}
	return a, err
}

// fetch asks Roam, reads the answer, and keeps it if it may be kept.
func (c *Cache) fetch(ctx context.Context, q Question, ask Fill) (a *Answer, err error) {
	under := c.begin(q.Route)
	var e *Entry
	stored := false
	defer func() {
		if stored = c.end(under, q.Key, e); a != nil {
			a.Stored = stored
		}
	}()
	res, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	received := time.Now()
	a = &Answer{Status: res.StatusCode, Header: res.Header, Length: res.ContentLength, Result: Miss, fwd: "uri-miss"}
	body, err := io.ReadAll(io.LimitReader(res.Body, c.o.MaxBody+1))
	if err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("cache: Roam's answer to %s broke off: %w", q.Route, err)
	}
	if int64(len(body)) > c.o.MaxBody {
		a.Stream = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
		return a, nil
	}
	res.Body.Close()
	a.Body, a.Length = slices.Clip(body), int64(len(body))
	if storable(res, q, body) {
		e = newEntry(q.Route, res, a.Body, received)
		a.TTL = e.ttl(q.Rule, received)
	}
	return a, nil
}
