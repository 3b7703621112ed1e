package transport

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	"roamproxy/limiter"
)

// Call is one call to Roam from its arrival at a RoundTripper to its response header, with all its attempts. It has what the queue needs to
// know and, when RoundTrip has returned, the result. One Call belongs to one request.
type Call struct {
	limiter.Call
	Owner    any // what the maker of the call adds for the steps behind a RoundTripper; this package does not look at it
	Attempts int // how often it was sent

	attempt *attempt // the latest
}

// attempt is one sending of a call, and what net/http has reported of it. Its goroutines may do so when RoundTrip has returned.
type attempt struct {
	connected, written, answered atomic.Bool
}

type callKey struct{}

// WithCall returns a context for a request that will go through a RoundTripper.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallOf returns the call that a request's context belongs to; nil: none.
func CallOf(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Sent reports whether the whole request of the latest attempt was written. A step behind the RoundTripper may ask once it has returned.
func (c *Call) Sent() bool {
	return c.attempt != nil && (c.attempt.written.Load() || c.attempt.answered.Load())
}

// trace begins an attempt, and returns a context by which net/http reports of it.
func (c *Call) trace(ctx context.Context, permit *limiter.Permit) context.Context {
	a := &attempt{}
	c.attempt = a
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { a.connected.Store(true) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { a.written.Store(true); permit.WroteRequest() },
		GotFirstResponseByte: func() { a.answered.Store(true) },
	})
}
