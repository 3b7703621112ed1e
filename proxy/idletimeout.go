package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"roamproxy/proxy/eventstream"
)

// idleTimeout is the step that ends an upstream call which makes no progress for too long. Progress means that a piece of the request
// was read, that the request was sent, or that a piece of the response arrived. So a large body on a slow network does not end a call,
// and a connection that hangs does at any stage.
//
// An event stream has no bound after its header, because it may be silent for hours. TCP keep-alive finds a dead peer.
type idleTimeout struct {
	next  http.RoundTripper
	limit time.Duration // for routes without a timeout of their own
}

// idleTimeoutError is the error of a call that idleTimeout ended. It is a net.Error whose Timeout is true.
type idleTimeoutError struct{ limit time.Duration }

func (e *idleTimeoutError) Error() string   { return fmt.Sprintf("Roam was silent for %v", e.limit) }
func (e *idleTimeoutError) Timeout() bool   { return true }
func (e *idleTimeoutError) Temporary() bool { return true }

// RoundTrip returns a response without trailers: no step redacts them, and they may be dropped (RFC 9110, section 6.5.1).
func (t *idleTimeout) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := &idleTimer{limit: t.limit, ctx: ctx, cancel: cancel}
	if c := callOf(ctx); c != nil && c.timeout > 0 {
		timer.limit = c.timeout // of its route
	}
	timer.timer = time.AfterFunc(timer.limit, timer.expire)
	out := req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { timer.progress() },
	}))
	if out.ContentLength != 0 { // net/http recognises an empty body by its type
		out.Body = &requestBody{out.Body, timer}
	}
	received, err := t.next.RoundTrip(out)
	timer.timer.Stop()
	if err != nil {
		err = timer.cause(err)
		cancel(nil)
		return nil, err
	}
	if received.StatusCode < http.StatusOK { // such as 101, after which the body is the connection itself
		received.Body.Close()
		cancel(nil)
		return nil, fmt.Errorf("proxy: status %03d is no final response", received.StatusCode)
	}
	res := *received // net/http adds trailers to the original
	res.Trailer = nil
	res.Body = &responseBody{ReadCloser: received.Body, timer: timer, endless: eventstream.IsStream(received.Header)}
	return &res, nil
}

// idleTimer cancels one call when nothing moves for too long.
type idleTimer struct {
	limit  time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (t *idleTimer) expire()   { t.cancel(&idleTimeoutError{t.limit}) }
func (t *idleTimer) progress() { t.timer.Reset(t.limit) }

// cause returns the *idleTimeoutError if the timer ended the call, or else err.
func (t *idleTimer) cause(err error) error {
	if timeout, ok := context.Cause(t.ctx).(*idleTimeoutError); ok {
		return timeout
	}
	return err
}

// requestBody counts each Read of the request's body as progress.
type requestBody struct {
	io.ReadCloser
	timer *idleTimer
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.timer.progress()
	return b.ReadCloser.Read(p)
}

// responseBody runs the timer while a Read waits for Roam. Between two reads the tool is slow, not Roam; toolWriter bounds that.
type responseBody struct {
	io.ReadCloser
	timer   *idleTimer
	endless bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	if !b.endless {
		b.timer.progress()
		defer b.timer.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.timer.cause(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	defer b.timer.cancel(nil)
	defer b.timer.timer.Stop()
	return b.ReadCloser.Close()
}
