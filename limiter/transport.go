package limiter

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// SendError is the error of a call that left but was not answered.
type SendError struct {
	Err  error
	Sent bool // some of it may have reached Roam
}

func (e *SendError) Error() string { return fmt.Sprintf("limiter: sending the call: %v", e.Err) }
func (e *SendError) Unwrap() error { return e.Err }

// Transport makes each request stand in a Queue before Next sends it.
//
// When Roam answers 429 the call goes round again, with the place that it had and a fresh token, until its longest wait. A
// GET or HEAD whose connection dies before an answer began is sent once more, and so is any call that Repeat says was not
// executed. Nothing else is ever sent twice. Errors are a
// *Refusal or ErrBody (not sent), a *SendError, or the cause of the request's context.
type Transport struct {
	Next   http.RoundTripper
	Queue  *Queue
	Bodies *Bodies
	Open   *OpenResponses            // of the queue's quota; nil: any number
	Repeat func(*http.Response) bool // asked once a call: Roam did not execute it, and it will fare better if sent again; nil: never
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip waits, sends and, where that is safe, sends again. The slot of the call is free when the header of its response is here.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	trip, ok := ctx.Value(tripKey{}).(*Trip)
	if !ok {
		trip = &Trip{Caller: Caller{Urgency: Usual, Longest: -1}}
	}
	tool := trip.Caller.Tool.Name
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
	turn, err := trip.wait(ctx, t.Queue)
	for repeated, fresh := false, t.Repeat != nil; ; turn, err = t.Queue.Again(ctx, turn) {
		if err != nil {
			held.release()
			return nil, err
		}
		trip.Waited += turn.Waited
		if err := t.Open.send(tool); err != nil {
			turn.unused()
			held.release()
			return nil, err
		}
		trip.Attempts++
		res, sending := t.send(req, held, turn, trip)
		switch {
		case sending != nil:
			t.Open.fail(tool)
			turn.Release()
			if !repeated && sending.died && repeatable(req) && ctx.Err() == nil {
				repeated = true
				continue
			}
			held.release()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, &SendError{Err: sending.err, Sent: sending.connected}
		case res.StatusCode == http.StatusTooManyRequests:
			turn.Throttled(retryAfter(res.Header, time.Now(), t.Queue.defaultPause()))
			discard(res.Body)
			t.Open.fail(tool)
			turn.Release()
		default:
			turn.Answered()
			if held.size < inMemory {
				turn.timed()
			}
			if fresh && t.Repeat(res) {
				fresh = false
				discard(res.Body)
				t.Open.fail(tool)
				turn.Release()
				continue
			}
			turn.Release() // what Roam sends from here on keeps it from no other call
			held.release()
			res.Body = t.Open.read(tool, res.Body)
			return res, nil
		}
	}
}

// failure is how sending went wrong.
type failure struct {
	err       error
	connected bool // there was a connection to write to
	died      bool // and it ended, rather than being silent, before the first byte of an answer
}

func (t *Transport) send(req *http.Request, held *body, turn *Permit, trip *Trip) (*http.Response, *failure) {
	returned := false
	defer func() {
		if !returned { // but panicked: that must not cost the line a slot for good
			t.Open.fail(trip.Caller.Tool.Name)
			turn.Release()
			held.release()
		}
	}()
	attempt, ctx := newAttempt(req.Context(), trip)
	out := req.WithContext(ctx)
	held.prepare(out)
	res, err := t.Next.RoundTrip(out)
	returned = true
	if err == nil {
		return res, nil
	}
	timeout, isNet := err.(net.Error)
	silent := isNet && timeout.Timeout()
	connected := attempt.connected.Load()
	return nil, &failure{err: err, connected: connected, died: connected && !attempt.answered.Load() && !silent}
}

func repeatable(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead
}

// A refusal's body is a line of JSON. What is longer is not worth a connection.
const refusalSize = 16 << 10

func discard(body io.ReadCloser) {
	io.CopyN(io.Discard, body, refusalSize)
	body.Close()
}
