// Package repeat prevents that a write is executed twice because a client repeats it.
//
//	Begin ──► nothing is known of this write ──► Pending: send it, then report how it ended
//	      ├─► a write with the same Idempotency-Key is in progress ──► wait for it, for as long as the caller may wait
//	      ├─► it was answered ──► Answer: replay it
//	      └─► it is unknown whether Roam executed it ──► UnknownError: do not send it
//
// A write without an Idempotency-Key is remembered only if its outcome is unknown: a tool may intend two equal writes. For a write with a
// key (draft-ietf-httpapi-idempotency-key-header-07) the answer is remembered too. A write that was not sent is not remembered.
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

// UnknownError reports that the same write was sent before, and that it is unknown whether Roam executed it.
type UnknownError struct {
	Status int // of the answer to the first: 502 or 504
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

// answerTTL is how long an answer is remembered. A client repeats within minutes; a person who runs a job again does so within the hour.
const answerTTL = time.Hour

// A client that times out closes its connection and may repeat at once. The repeat can arrive before roamproxy notices the closed
// connection. So a write without a key waits up to lateClose for an equal one that was sent at least clientTimeout ago: few clients time
// out sooner, and Roam answers most writes sooner.
const (
	clientTimeout = time.Second
	lateClose     = 100 * time.Millisecond
)

// Memory decides what happens to a write. It may be used by many goroutines.
type Memory struct {
	ctx    context.Context // ends the calls that outlive their clients
	cancel context.CancelFunc

	mu       sync.Mutex // guards the following; not held while Shared is asked
	remember time.Duration
	shared   SharedStore
	records  *store
	running  map[id][]*Pending // oldest first
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

// Configure sets how long writes of unknown outcome are remembered (0: not at all), and the store that replicas share (nil: none). Records
// in memory stay.
func (m *Memory) Configure(remember time.Duration, shared SharedStore) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remember, m.shared = remember, shared
}

// Begin decides whether a write is sent. Exactly one result is not nil. With a Pending the caller sends the write; with an Answer it
// replays that. Begin waits at most wait for an earlier write with the same key.
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
		given = w.Key == "" // such a write waits only once
		if err := first.await(ctx, over.C, given); err != nil {
			return nil, nil, err
		}
	}
}

// enter returns the record of the same write, or the Pending to wait for (first), or else a new Pending. given says that the write has
// waited for an equal one already.
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

// finish ends a Pending, and keeps its record for life. r is nil if the write was not executed, or need not be remembered.
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

// forget removes the record of an older equal write, after p was answered.
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
