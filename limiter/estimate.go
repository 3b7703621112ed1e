package limiter

import (
	"math"
	"time"
)

// admit refuses a call that came now when the line has no place for it or when its turn would come too late.
func (q *Queue) admit(now time.Time, t Tool, c *call, longest time.Duration) error {
	if q.closed {
		return q.dismissal(now, q.dismissed, 0)
	}
	p := q.line.find(t, c.urgency, c.rank)
	full := q.line.waiting >= q.options.MaxQueue || t.MaxQueue > 0 && p.lane >= t.MaxQueue
	if !full && q.estimate(now, p.total) <= longest {
		return nil
	}
	return q.refusal(now, t, c, longest, 0)
}

// refusal says why a call like c would not be let in if it came now, and after how long it would be.
func (q *Queue) refusal(now time.Time, t Tool, c *call, longest, waited time.Duration) *Refusal {
	p := q.line.find(t, c.urgency, rank(now.Sub(q.epoch), c.urgency))
	r := &Refusal{Reason: ErrWaitTooLong, Waited: waited, RetryAfter: max(q.estimate(now, p.total)-longest, 0)}
	switch {
	case q.line.waiting >= q.options.MaxQueue:
		r.Reason, r.RetryAfter = ErrQueueFull, max(r.RetryAfter, q.estimate(now, q.line.waiting-q.options.MaxQueue))
	case t.MaxQueue > 0 && p.lane >= t.MaxQueue:
		r.Reason, r.RetryAfter = ErrQueueFull, max(r.RetryAfter, q.estimate(now, p.first))
	case q.pause.remaining(now) > longest || waited > 0 && q.pause.state != open:
		r.Reason = ErrPaused
	}
	return r
}

// estimate is how long the call with n others before it will wait, if nobody else comes and Roam answers as it did: for its
// token, for the end of the pause and its probe, and for a slot, whichever is last.
func (q *Queue) estimate(now time.Time, n int) time.Duration {
	wait := time.Duration(0)
	turns := float64(n + 1)
	if s, ok := q.bucket.(sharer); ok {
		turns *= float64(1 + s.others()) // each replica that waits has a turn for each of ours
	}
	if missing := turns - q.bucket.Level(now) - tolerance/unit; missing > 0 {
		wait = seconds(missing / q.bucket.Limits(now).Rate)
	}
	switch q.pause.state {
	case shut:
		quiet := q.pause.remaining(now)
		if n > 0 {
			quiet += q.held.mean // the probe's answer
		}
		wait = max(wait, quiet)
	case probing:
		wait = max(wait, q.held.mean)
	}
	if over := q.inFlight + n + 1 - q.options.MaxInFlight; over > 0 {
		wait = max(wait, seconds(float64(over)*q.held.mean.Seconds()/float64(q.options.MaxInFlight)))
	}
	return wait
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long line is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/2)))
}
