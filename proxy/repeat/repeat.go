// Package repeat keeps a write from being executed twice because a client repeated it.
//
//	Begin ──► nothing is known of this write ──► Pending: send it, then report how it ended
//	      ├─► the same Idempotency-Key is in progress ──► wait for it, for as long as the caller may wait
//	      ├─► it was answered ──► Answer: replay it
//	      └─► nobody knows whether it was executed ──► UnknownError: do not send it
//
// A write without an Idempotency-Key is remembered only if its outcome is unknown: two equal writes may be meant. With a key
// (draft-ietf-httpapi-idempotency-key-header-07) its answer is remembered too. What was not sent leaves no trace.
//
// Records are kept in memory, and in a Shared store where several replicas serve the same tools.
package repeat

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Errors of Begin, besides UnknownError, TooLargeError and the cause of its context.
var (
	ErrKeyReused  = errors.New("repeat: this Idempotency-Key was used for another write")
	ErrInProgress = errors.New("repeat: the first write with this Idempotency-Key is still in progress")
)

// UnknownError reports that the same write may have been executed, and that nobody knows.
type UnknownError struct {
	Status int // that the first was answered with: 502 or 504
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("repeat: the outcome of the same write is unknown (it ended with %d)", e.Status)
}

// TooLargeError reports that a write was answered, and that its answer is too large to be replayed.
type TooLargeError struct {
	Status int // of the answer
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("repeat: the first write with this Idempotency-Key was answered with %d; the answer is too large to be kept", e.Status)
}

// answerTTL is how long an answer is replayed. A client that repeats does so within minutes; a job that is run again by hand
// within the hour.
const answerTTL = time.Hour

// A client that times out closes its connection and may repeat at once, so that the repeat arrives before the end of that
// connection is noticed. A write without a key therefore waits up to lateClose for an equal one that was sent clientTimeout ago:
// few clients time out sooner, and Roam answers most writes sooner.
const (
	clientTimeout = time.Second
	lateClose     = 100 * time.Millisecond
)

// Memory decides what happens to a write. It may be used by many goroutines.
type Memory struct {
	ctx    context.Context // of the calls that outlive their clients
	cancel context.CancelFunc

	mu       sync.Mutex // guards the following; not held while Shared is asked
	remember time.Duration
	shared   SharedStore
	records  *store
	running  map[id][]*Pending // in the order of their beginning
	last     uint64            // number of the newest Pending
}

// New returns an empty Memory that remembers nothing of unknown outcome before Configure is called.
func New() *Memory {
	m := &Memory{records: newStore(), running: make(map[id][]*Pending)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close ends the calls that outlive their clients.
func (m *Memory) Close() { m.cancel() }

// Configure sets how long writes of unknown outcome are remembered (0: not at all), and where replicas share what they
// remember (nil: this process is alone). Records are kept.
func (m *Memory) Configure(remember time.Duration, shared SharedStore) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remember, m.shared = remember, shared
}

// Begin decides about a write. Exactly one result is not nil: a Pending means that the caller sends the write, an Answer that
// it replays this one. Begin waits for the first write with the same key, at most for wait.
func (m *Memory) Begin(ctx context.Context, w Write, wait time.Duration) (*Pending, *Answer, error) {
	over := time.NewTimer(wait)
	defer over.Stop()
	for given := false; ; {
		p, first, r := m.enter(w, given)
		switch {
		case r != nil:
			return r.resultFor(w)
		case first == nil:
			return p.consult(ctx, over.C)
		case w.Key != "" && first.write.Fingerprint != w.Fingerprint:
			return nil, nil, ErrKeyReused
		}
		given = w.Key == "" // such a write is not kept waiting twice
		if err := first.await(ctx, over.C, given); err != nil {
			return nil, nil, err
		}
	}
}

// enter returns the record of the same write, or the Pending to wait for, or else a new Pending.
func (m *Memory) enter(w Write, given bool) (p, first *Pending, r *Record) {
	key, now := w.id(), time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !w.Resend {
		same := m.running[key]
		if n := len(same); n > 0 && w.Key != "" {
			return nil, same[n-1], nil
		}
		if r := m.records.get(key, now); r != nil {
			return nil, nil, r
		}
		if i := slices.IndexFunc(same, func(p *Pending) bool { return p.isLate(now) }); i >= 0 && !given {
			return nil, same[i], nil
		}
	}
	m.last++
	p = &Pending{memory: m, write: w, id: key, owner: rand.Text(), number: m.last, done: make(chan struct{})}
	m.running[key] = append(m.running[key], p)
	return p, nil, nil
}

// finish ends a Pending. A record of nil says that the write was not executed, or needs no memory.
func (m *Memory) finish(p *Pending, r *Record, life time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := slices.DeleteFunc(m.running[p.id], func(other *Pending) bool { return other == p })
	if m.running[p.id] = same; len(same) == 0 {
		delete(m.running, p.id)
	}
	if r != nil && life > 0 {
		m.records.put(p.id, p.write.Tool, p.number, r, time.Now().Add(life))
	}
	close(p.done)
}

// forget removes what an older write left, once a newer one was answered.
func (m *Memory) forget(p *Pending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records.removeBefore(p.id, p.number)
}

func (m *Memory) settings() (remember time.Duration, shared SharedStore) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remember, m.shared
}

// await waits until the write has ended. The wait for one without a key is short and ends without an error.
func (p *Pending) await(ctx context.Context, over <-chan time.Time, short bool) error {
	var late <-chan time.Time
	if short {
		t := time.NewTimer(lateClose)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-p.done:
		return nil
	case <-late:
		return nil
	case <-over:
		if short {
			return nil
		}
		return ErrInProgress
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
