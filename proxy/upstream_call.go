package proxy

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"roamproxy/limiter/transport"
	"roamproxy/proxy/repeat"
)

// upstreamCall is one call to Roam with all its attempts. It belongs to the fill, or to the passed-through request, that makes it. A fill
// may outlive the request that began it.
type upstreamCall struct {
	transport.Call
	route    string
	sent     atomic.Bool               // an attempt was sent, and the call is not queued again
	sentAt   atomic.Pointer[time.Time] // when the last attempt was sent
	took     time.Duration             // from sending to the response header, over all attempts
	timeout  time.Duration             // idle timeout; 0: that of the upstream
	newest   func() []byte             // returns the body to send, for a write that can be superseded; nil: the request's own
	perDay   int                       // how many calls the tool may make in a day; 0: any number
	reserved bool                      // one call of the budget is reserved for it

	write      *repeat.Pending // nil: the call is not remembered, and a repeat may be sent
	subscribes bool            // its response is an event stream without end
}

// newCall makes a call for a request.
func (rq *request) newCall() *upstreamCall {
	c := &upstreamCall{route: cmp.Or(rq.label, rq.Route), timeout: rq.treatment.Timeout, perDay: rq.tool.CallsPerDay,
		subscribes: rq.subscribes, write: rq.write}
	c.Caller = rq.caller()
	return c
}

// queuedSince returns how long the call was not sent, counted from begun.
func (c *upstreamCall) queuedSince(begun time.Time) time.Duration {
	if left := c.sentAt.Load(); left != nil && c.sent.Load() {
		return max(left.Sub(begun), 0)
	}
	return time.Since(begun)
}

// attach returns a context that carries the call to the steps of upstream.chain. It is the only context value of this package.
func (c *upstreamCall) attach(ctx context.Context) context.Context {
	c.Owner = c
	return transport.WithCall(ctx, &c.Call)
}

// callOf returns the call that a context carries, or nil.
func callOf(ctx context.Context) *upstreamCall {
	call := transport.CallOf(ctx)
	if call == nil {
		return nil
	}
	c, _ := call.Owner.(*upstreamCall)
	return c
}
