package limiter

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// Attempt is one sending of a call, and what net/http has reported of it so far. A Transport's Next finds it by AttemptOf.
type Attempt struct {
	connected, sent, answered atomic.Bool
}

type attemptKey struct{}

// AttemptOf is the attempt of a request under way, or nil where no Transport sends it.
func AttemptOf(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// newAttempt listens to what net/http tells of a request with the context that it returns.
func newAttempt(ctx context.Context, trip *Trip) (*Attempt, context.Context) {
	a := &Attempt{}
	return a, httptrace.WithClientTrace(context.WithValue(ctx, attemptKey{}, a), &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { a.connected.Store(true) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { a.sent.Store(true) },
		GotFirstResponseByte: func() { a.answered.Store(true) },
		Got1xxResponse:       trip.Interim,
	})
}

// Left tells whether the whole request went out: that it was answered may be told first. It may be called by many goroutines.
func (a *Attempt) Left() bool { return a.sent.Load() || a.answered.Load() }
