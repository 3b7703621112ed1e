package proxy

import (
	"math"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// Queue reports whether the queue is idle, so that a background refresh delays no other call, and whether it is paused. Idle means that no
// call is queued and two tokens are left: one for the refresh, one for the next call.
func (c *cachedCall) Queue() (idle, paused bool) {
	return c.by.upstream.quota.Queue.Idle()
}

// queueMargin is how much longer the cache waits than the queue, so that the queue reports first that a wait was too long: it knows why.
const queueMargin = 10 * time.Millisecond

// MaxWait returns how long this request may wait for the call of another.
func (c *cachedCall) MaxWait() time.Duration { return c.by.maxQueueTime() + queueMargin }

// Join moves the fill's call forward in the queue, to the place that a call of the joining request would have.
func (f *fill) Join(by cache.Requester) {
	c := by.(*cachedCall)
	c.awaited.Store(f.call)
	f.call.Favour(c.by.caller())
}

// Expired returns the refusal of a request that has waited for its longest wait. It returns nil if the fill's call was sent: then the
// request waits on.
func (f *fill) Expired(by cache.Requester) error {
	if f.call.sent.Load() {
		return nil
	}
	rq := by.(*cachedCall).by
	s := rq.upstream.quota.Queue.State()
	reason, n := limiter.ErrWaitTooLong, 1
	if s.Paused {
		reason = limiter.ErrPaused
	}
	for _, waiting := range s.Waiting {
		n += waiting
	}
	wait := s.PausedFor + time.Duration(math.Ceil(float64(n)/s.Rate*float64(time.Second)))
	return &limiter.Refusal{Reason: reason, RetryAfter: max(wait-rq.maxWait(), 0)}
}
