package repeat

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Pending is a write that its caller sends. The caller must call NotSent, Unknown, Answered or Close; the first call counts.
type Pending struct {
	memory *Memory
	write  Write
	id     id
	owner  string // of the claim in the Shared store
	number uint64
	done   chan struct{} // closed when the write has ended
	sent   time.Time     // guarded by memory; zero: not yet

	once   sync.Once
	shared SharedStore        // store that has the claim; nil: none
	stop   context.CancelFunc // ends the renewal of the claim
	renews sync.WaitGroup
}

// HasKey reports whether the write has an Idempotency-Key.
func (p *Pending) HasKey() bool { return p.write.Key != "" }

// Sent reports that the write is on its way to Roam. It may be called again for another attempt.
func (p *Pending) Sent() {
	p.memory.mu.Lock()
	defer p.memory.mu.Unlock()
	p.sent = time.Now()
}

// Outlive returns the context of the write's call, and a function that cancels it. The context ends with ctx. But a write with a key that
// was sent goes on after ctx has ended: its client timed out, and will repeat it to get the answer.
func (p *Pending) Outlive(ctx context.Context) (_ context.Context, cancel context.CancelCauseFunc) {
	if p.write.Key == "" {
		return context.WithCancelCause(ctx)
	}
	call, end := context.WithCancelCause(context.WithoutCancel(ctx))
	left := context.AfterFunc(ctx, func() {
		if !p.isSent() {
			end(context.Cause(ctx))
		}
	})
	closed := context.AfterFunc(p.memory.ctx, func() { end(context.Canceled) })
	return call, func(cause error) {
		left()
		closed()
		end(cause)
	}
}

func (p *Pending) isSent() bool {
	p.memory.mu.Lock()
	defer p.memory.mu.Unlock()
	return !p.sent.IsZero()
}

// isLate reports whether a client may have given up waiting for the answer. The lock of the memory is held.
func (p *Pending) isLate(now time.Time) bool {
	return !p.sent.IsZero() && now.Sub(p.sent) >= clientTimeout
}

// NotSent reports that Roam did not execute the write. Nothing is remembered, and the next write with the key is sent.
func (p *Pending) NotSent() { p.end(nil) }

// Unknown reports that Roam may have executed the write. status is the status of the caller's answer, 502 or 504.
func (p *Pending) Unknown(status int) {
	p.end(&Record{State: Unknown, Fingerprint: p.write.Fingerprint, Status: status})
}

// Close reports an unknown outcome, unless an outcome was reported before.
func (p *Pending) Close() { p.Unknown(http.StatusBadGateway) }

// Answered reports the header of Roam's answer, and replaces res.Body by a body that reports how the answer ends. If it is read to its end,
// the outcome is known. If Roam or the reader breaks it off, it is unknown what the client received.
func (p *Pending) Answered(res *http.Response) {
	if isNotExecuted(res.StatusCode) {
		p.NotSent()
		return
	}
	header, small := replayable(res.Header)
	res.Body = &answer{
		ReadCloser: res.Body, pending: p, status: res.StatusCode, header: header,
		keep: p.write.Key != "", large: !small || res.ContentLength > maxAnswer,
	}
}

// isNotExecuted reports whether a status means that Roam refused the write before it did anything. Such an answer is not remembered: the
// cause, such as the key or the load, may be gone when the client repeats.
func isNotExecuted(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// end ends the write in memory and in the shared store.
func (p *Pending) end(r *Record) {
	p.once.Do(func() {
		remember, shared := p.memory.settings()
		life := answerTTL
		if r != nil && r.State == Unknown {
			life = remember
		}
		if life == 0 {
			r = nil
		}
		p.memory.finish(p, r, life)
		p.publish(shared, r, life)
	})
}

// publish writes the record to the shared store. If that fails, the claim expires, and its outcome is unknown.
func (p *Pending) publish(shared SharedStore, r *Record, life time.Duration) {
	ctx := context.Background() // the store bounds the time; the caller may have left already
	if p.shared != nil {
		p.stop()
		p.renews.Wait()
		p.shared.Settle(ctx, p.id.String(), p.owner, r, life)
		return
	}
	if shared != nil && r != nil {
		shared.Put(ctx, p.id.String(), r, life)
	}
}

// complete ends a write whose whole answer was read.
func (p *Pending) complete(r *Record) {
	if p.write.Key != "" {
		p.end(r)
		return
	}
	p.once.Do(func() {
		p.memory.finish(p, nil, 0)
		if !p.write.Resend {
			return
		}
		p.memory.forget(p)
		if _, shared := p.memory.settings(); shared != nil {
			shared.Put(context.Background(), p.id.String(), nil, 0)
		}
	})
}

// answer is the body of Roam's answer.
type answer struct {
	io.ReadCloser
	pending *Pending
	status  int
	header  http.Header
	keep    bool // the body is remembered, to be replayed
	large   bool // it is too large to be remembered
	body    []byte
	isOver  atomic.Bool
}

func (a *answer) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if a.keep && !a.large {
		if len(a.body)+n > maxAnswer {
			a.large, a.body = true, nil
		} else {
			a.body = append(a.body, b[:n]...)
		}
	}
	if err != nil && !a.isOver.Swap(true) {
		if errors.Is(err, io.EOF) {
			a.readToEnd()
		} else {
			a.brokenOff()
		}
	}
	return n, err
}

// Close ends an answer that was not read to its end.
func (a *answer) Close() error {
	if !a.isOver.Swap(true) {
		a.brokenOff()
	}
	return a.ReadCloser.Close()
}

func (a *answer) readToEnd() {
	r := &Record{State: Answered, Fingerprint: a.pending.write.Fingerprint, Status: a.status, Header: a.header, Body: a.body}
	if a.large {
		r = &Record{State: TooLarge, Fingerprint: r.Fingerprint, Status: a.status}
	}
	a.pending.complete(r)
}

// brokenOff ends an answer that was not read to its end. A status of 4xx means that Roam refused the write all the same.
func (a *answer) brokenOff() {
	if a.status >= 400 && a.status < 500 {
		a.pending.NotSent()
		return
	}
	a.pending.Close()
}
