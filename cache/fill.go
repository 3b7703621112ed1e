package cache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// sharedFill is one fill for all equal requests that arrive while it runs. It has its own context: a waiter that leaves does not
// fail the others. When all waiters have left it is canceled, so that no token is spent on an answer without a reader.
type sharedFill struct {
	route     string
	request   http.Header // of the first waiter
	fill      Fill
	waiters   int  // guarded by Cache.mu; a background refresh counts as one
	firstLeft bool // the first waiter has left; guarded by Cache.mu
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{}

	// The following are written before done is closed.
	answer   *Answer  // complete, for all waiters
	stream   *Answer  // not storable: for the first waiter alone
	personal bool     // answer is for the first waiter alone
	varies   []string // header fields whose values must be equal for a waiter to share the answer
	err      error
}

// share waits for the fill of this key, and starts it where none runs.
func (c *Cache) share(ctx context.Context, q lookup) (*Answer, error) {
	late := newWaitTimer(q.requester.MaxWait())
	defer late.Stop()
	for {
		f, first := c.join(ctx, q)
		if err := c.await(ctx, q.requester, f, first, late); err != nil {
			c.leave(q.key, f, first)
			return nil, err
		}
		c.leave(q.key, f, false)
		switch {
		case first && f.stream != nil:
			return f.stream, nil
		case !first && (f.stream != nil || f.personal):
			return c.fetchAlone(ctx, q, fwdMiss) // each waits in the queue on its own, so they are not sent all at once
		case !first && !sameVariant(f.varies, f.request, q.Request):
			if q.key, q.entry = c.find(q.Lookup); q.entry != nil && q.entry.satisfies(q.Rule, nil, time.Now()) {
				return q.entry.answer(Hit, q.Rule, time.Now()), nil
			}
			continue // the first waiter got another variant; now the key of ours is known
		case f.err != nil && !first && c.o.Throttled(f.err):
			continue // the first waiter's longest wait is not ours
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

// await waits for the end of a fill, at most for the longest wait of this request.
func (c *Cache) await(ctx context.Context, by Requester, f *sharedFill, first bool, late *time.Timer) error {
	if !first {
		f.fill.Join(by)
	}
	for {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late.C:
			if err := f.fill.Expired(by); err != nil {
				return err
			}
		}
	}
}

// newWaitTimer returns a timer that never fires when d is below zero.
func newWaitTimer(d time.Duration) *time.Timer {
	if d < 0 {
		d = forever
	}
	return time.NewTimer(d)
}

func (c *Cache) join(ctx context.Context, q lookup) (f *sharedFill, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.fills[q.key]; f != nil {
		f.waiters++
		return f, false
	}
	return c.start(ctx, q, Call{}), true
}

// start begins a fill. Cache.mu is held.
func (c *Cache) start(ctx context.Context, q lookup, call Call) *sharedFill {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &sharedFill{
		route: q.Route, request: q.Request, fill: q.requester.NewFill(), waiters: 1, ctx: own, cancel: cancel, done: make(chan struct{}),
	}
	c.fills[q.key] = f
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		defer func() {
			if p := recover(); p != nil {
				// without the panic's value, which may hold a secret
				f.err = fmt.Errorf("cache: a fill of %s panicked with a %T at %s", q.Route, p, panicLine())
			}
			c.mu.Lock()
			if c.fills[q.key] == f {
				delete(c.fills, q.key)
			}
			close(f.done)
			unwanted := f.stream != nil && (f.firstLeft || call.Background)
			c.mu.Unlock()
			if unwanted {
				f.stream.Stream.Close()
			}
			if f.stream == nil {
				cancel()
			}
		}()
		f.run(c, q, call)
	}()
	return f
}

// panicLine returns the line of code whose panic is being recovered.
func panicLine() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for below := false; ; {
		f, more := frames.Next()
		if below && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		below = below || f.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}

// leave removes a waiter. It cancels a fill without waiters, and closes a stream whose reader has left.
func (c *Cache) leave(key Key, f *sharedFill, first bool) {
	c.mu.Lock()
	f.waiters--
	f.firstLeft = f.firstLeft || first
	last := f.waiters == 0
	landed := false
	select {
	case <-f.done:
		landed = true
	default:
	}
	if last && !landed {
		f.cancel()
		if c.fills[key] == f {
			delete(c.fills, key)
		}
	}
	c.mu.Unlock()
	if first && landed && f.stream != nil {
		f.stream.Stream.Close()
	}
}

func (f *sharedFill) run(c *Cache, q lookup, call Call) {
	deadline := time.AfterFunc(c.o.FillTimeout, f.cancel)
	var got *fetchResult
	got, f.err = c.fetchOrClaim(f.ctx, q, f.fill, call)
	if f.err != nil && f.ctx.Err() != nil {
		if f.err = context.Canceled; !deadline.Stop() {
			f.err = context.DeadlineExceeded
		}
		return
	}
	deadline.Stop()
	if f.err != nil {
		return
	}
	f.personal, f.varies = got.personal, got.varies
	if f.answer = got.Answer; got.Stream != nil {
		f.stream, f.answer = f.answer, nil
		f.stream.Stream = &streamBody{f.stream.Stream, f.cancel}
	}
}

// streamBody cancels the fill's context when its reader is done.
type streamBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *streamBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// fetchAlone fetches for one request, and stores the answer for all.
func (c *Cache) fetchAlone(ctx context.Context, q lookup, fwd forward) (*Answer, error) {
	if c.o.Shared != nil && q.Seal != nil {
		q.generation = c.o.Shared.Claim(q.key, q.Route, q.Seal, false).Generation
	}
	got, err := c.fetch(ctx, q, q.requester.NewFill(), Call{})
	if err != nil {
		return nil, err
	}
	got.fwd = fwd
	return got.Answer, nil
}
