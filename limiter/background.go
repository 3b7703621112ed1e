package limiter

import (
	"context"
	"time"
)

// spareLeft is how many tokens a spare turn leaves behind: whoever comes in the next moment goes at once, as if nobody had
// been here. A bucket that never holds as much must be full.
const spareLeft = 1

// TryWait is Wait for a call that nobody waits for, such as a refresh in the background. It gets its turn at once, when the
// line is open and empty, a slot is free, and the bucket will still hold a token for the next to come; otherwise the error is
// a *Refusal for ErrBusy, ErrPaused or ErrClosed. Its urgency and longest wait do not matter.
func (q *Queue) TryWait(ctx context.Context, caller Caller) (*Permit, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	q.mu.Lock()
	now := time.Now()
	if !q.idle(now) {
		err := q.busy(now)
		q.mu.Unlock()
		return nil, err
	}
	c, _ := q.call(now, caller)
	c.spare, c.lane = true, &lane{tool: caller.Tool}
	q.spares = append(q.spares, c)
	q.look()
	q.mu.Unlock()
	v := <-c.ready // the dispatcher answers as soon as it looks
	if v.turn != nil && ctx.Err() != nil {
		v.turn.unused()
		return nil, context.Cause(ctx)
	}
	return v.turn, v.err
}

// idle reports whether there is a turn that nobody else would have. The lock is held.
func (q *Queue) idle(now time.Time) bool {
	if q.closed || q.line.waiting > 0 || len(q.taken) >= q.slots() || q.pause.state != open {
		return false
	}
	return q.bucket.Level(now)+tolerance/unit >= min(1+spareLeft, q.bucket.Limits(now).Burst)
}

// busy says why not. The lock is held.
func (q *Queue) busy(now time.Time) *Refusal {
	r := &Refusal{Reason: ErrBusy, RetryAfter: q.estimate(now, q.line.waiting+spareLeft)}
	switch {
	case q.closed:
		r = q.dismissal(now, q.dismissed, 0)
	case q.pause.state != open:
		r.Reason = ErrPaused
	}
	return r
}

// spare gives c its turn, or refuses it. Only the dispatcher calls it, since only one may ask the bucket.
func (q *Queue) spare(now time.Time, c *call) {
	q.mu.Lock()
	idle := q.idle(now)
	q.mu.Unlock()
	taken := idle && q.bucket.Take(now) == 0
	if taken {
		q.keep()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case taken && !q.closed && q.pause.state == open: // somebody may have come meanwhile: the token that was left is his
		q.give(now, c)
	case taken:
		q.returned++
		fallthrough
	default:
		c.ready <- verdict{err: q.busy(now)}
	}
}
