package proxy

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"roamproxy/limiter"
	"roamproxy/proxy/repeat"
)

// upstreamCall is one call to Roam with all its attempts. It belongs to the fill, or to the request that is passed through, which makes
// it. A fill may outlive the request that began it.
type upstreamCall struct {
	limiter.Call
	route    string
	sent     atomic.Bool               // Roam has it: it is not queued
	sentAt   atomic.Pointer[time.Time] // when it was sent last
	took     time.Duration             // from sending to the response header, over all attempts
	timeout  time.Duration             // of Roam's silence; 0: the upstream's
	newest   func() []byte             // returns the body to send, for a write that can be superseded; nil: its own
	perDay   int                       // how many calls the tool may make in a day; 0: any number
	reserved bool                      // one of them is kept for this call

	write      *repeat.Pending // nil: a repeat of it may be sent
	subscribes bool            // its response is an event stream without end
}

// newCall makes a call for a request.
func (rq *request) newCall() *upstreamCall {
	c := &upstreamCall{route: cmp.Or(rq.label, rq.Route), timeout: rq.treatment.Timeout, perDay: rq.tool.CallsPerDay,
		subscribes: rq.subscribes, write: rq.write}
	c.Caller = rq.caller()
	return c
}

// queuedSince returns how much of the time since a moment the call was queued, or was not sent yet for another reason.
func (c *upstreamCall) queuedSince(begun time.Time) time.Duration {
	if left := c.sentAt.Load(); left != nil && c.sent.Load() {
		return max(left.Sub(begun), 0)
	}
	return time.Since(begun)
}

// attach returns a context by which the steps to Roam know the call. It is the only value that roamproxy puts on a context here.
func (c *upstreamCall) attach(ctx context.Context) context.Context {
	c.Owner = c
	return limiter.WithCall(ctx, &c.Call)
}

// callOf returns the call that a step to Roam works for; nil: none of ours.
func callOf(ctx context.Context) *upstreamCall {
	call := limiter.CallOf(ctx)
	if call == nil {
		return nil
	}
	c, _ := call.Owner.(*upstreamCall)
	return c
}
