package proxy

import (
	"math"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// Queue reports to the cache whether a call of this request would be sent at once. A background refresh wants a token that leaves one for
// the next caller.
func (c *cachedCall) Queue() (idle, paused bool) {
	s := c.by.upstream.quota.Queue.State()
	return !s.Paused && len(s.Waiting) == 0 && s.Tokens >= min(2, s.Burst), s.Paused
}

// queueMargin lets the queue itself say that a wait was too long, if it comes to it: it knows why.
const queueMargin = 10 * time.Millisecond

// MaxWait is how long the cache lets this request wait for a call of another.
func (c *cachedCall) MaxWait() time.Duration { return c.by.maxQueueTime() + queueMargin }

// Join has the fill wait as a call of that request would, where that is better.
func (f *fill) Join(by cache.Requester) {
	c := by.(*cachedCall)
	c.awaited.Store(f.call)
	f.call.Favour(c.by.caller())
}

// Expired says why a request whose longest wait has ended does not wait on; nil: the fill's call was sent.
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
	return &limiter.Refusal{Reason: reason, RetryAfter: max(wait-rq.maxWait(), 0), Waited: rq.maxQueueTime()}
}
