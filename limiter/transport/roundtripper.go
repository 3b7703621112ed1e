// Package transport sends HTTP calls through a limiter.Queue.
//
// A RoundTripper has a call queued, sends it, and has it queued again when Roam refused it. Meanwhile
// Bodies holds the body of its request. OpenResponses bounds how many responses are read at once. Both are divided among the tools by
// Shares.
//
// A Call is what the steps before a RoundTripper say of a call, and what those behind it and the caller learn. Its lock is taken before
// those of the Queue; no other is held together with them.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"roamproxy/limiter"
)

// SendError is the error of a call that left but was not answered.
type SendError struct {
	Err  error
	Sent bool // some of it may have reached Roam
}

func (e *SendError) Error() string { return fmt.Sprintf("limiter: sending the call: %v", e.Err) }
func (e *SendError) Unwrap() error { return e.Err }

// RoundTripper makes each request wait in a limiter.Queue for a permit before Next sends it.
//
// When Roam answers 429 the call is queued again, with the place that it had and for a token of its own, until its longest wait. A GET or
// HEAD whose connection breaks before a response began is sent once more, and so is any call that Repeat says was not executed.
// Nothing else is ever sent twice. Errors are a *limiter.Refusal or ErrBody (not sent), a *SendError, or the cause of the request's
// context.
type RoundTripper struct {
	Next   http.RoundTripper
	Queue  *limiter.Queue
	Bodies *Bodies
	Open   *OpenResponses            // of the queue's quota; nil: any number
	Repeat func(*http.Response) bool // asked once a call: Roam did not execute it, and it will fare better if sent again; nil: never
}

var _ http.RoundTripper = (*RoundTripper)(nil)

// RoundTrip waits, sends and, where that is safe, sends again. The slot of the call is free when the header of its response is here;
// from then on the response counts as open until its body was read to the end or closed.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	call := CallOf(ctx)
	if call == nil {
		call = new(Call)
		call.Caller = limiter.Caller{Urgency: limiter.Usual, Longest: -1}
	}
	tool := call.Caller.Tool
	if err := t.Open.check(tool); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	held, err := t.Bodies.hold(tool, req.Body)
	if err != nil {
		return nil, err
	}
	defer held.release()
	mayBreak := req.Method == http.MethodGet || req.Method == http.MethodHead
	mayRepeat := t.Repeat != nil
	for {
		permit, err := call.Wait(ctx, t.Queue)
		if err != nil {
			return nil, err
		}
		if err := t.Open.send(tool); err != nil {
			permit.Cancel()
			return nil, err
		}
		res, failed := t.send(req, held, permit, call)
		switch {
		case failed != nil && mayBreak && failed.broken && ctx.Err() == nil:
			mayBreak = false
		case failed != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case failed != nil:
			return nil, &SendError{Err: failed.err, Sent: failed.connected}
		case res.StatusCode == http.StatusTooManyRequests:
			permit.Throttled(retryAfter(res.Header, time.Now()))
			t.discard(res, tool)
			permit.Release()
		default:
			permit.Answered()
			if held.size < inMemory {
				permit.FirstByte()
			}
			permit.Release() // what Roam sends from here on keeps it from no other call
			if !mayRepeat || !t.Repeat(res) {
				res.Body = t.Open.read(tool, res.Body)
				return res, nil
			}
			mayRepeat = false
			t.discard(res, tool)
		}
	}
}

// failure is how sending went wrong.
type failure struct {
	err       error
	connected bool // there was a connection to write to
	broken    bool // and it ended, rather than being silent, before the first byte of a response
}

// send sends a call once. Where there is no response it gives slot and place back, also when a step behind it panics.
func (t *RoundTripper) send(req *http.Request, held *body, permit *limiter.Permit, call *Call) (res *http.Response, _ *failure) {
	defer func() {
		if res == nil {
			t.Open.fail(call.Caller.Tool)
			permit.Release()
		}
	}()
	call.Attempts++
	out := req.WithContext(call.trace(req.Context(), permit))
	held.prepare(out)
	res, err := t.Next.RoundTrip(out)
	if err == nil {
		return res, nil
	}
	var timeout net.Error
	silent := errors.As(err, &timeout) && timeout.Timeout()
	connected := call.attempt.connected.Load()
	return nil, &failure{err: err, connected: connected, broken: connected && !call.attempt.answered.Load() && !silent}
}

// discardable is how much of a body is read so that its connection can be used again. Roam's refusals are some bytes of JSON; a longer
// body costs more than a new connection.
const discardable = 16 << 10

func (t *RoundTripper) discard(res *http.Response, tool limiter.Tool) {
	io.CopyN(io.Discard, res.Body, discardable)
	res.Body.Close()
	t.Open.fail(tool)
}
