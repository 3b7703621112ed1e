package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"
)

// watch bounds Roam's silence: from the last sign of progress (a piece of the request taken, the request sent, a piece of the
// answer read) to the next. A large body over a thin line is no silence; a connection that hangs is, at any stage.
type watch struct {
	next http.RoundTripper
	most time.Duration
}

// silence is the error of a call that was given up.
type silence struct{ most time.Duration }

func (s *silence) Error() string   { return fmt.Sprintf("Roam was silent for %v", s.most) }
func (s *silence) Timeout() bool   { return true }
func (s *silence) Temporary() bool { return true }

func (w *watch) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(w.most, func() { cancel(&silence{w.most}) })
	progress := func() { timer.Reset(w.most) }
	left := func() {}
	if j := travelling(ctx); j != nil {
		this := j.left // another attempt has another
		left = func() { this.Store(true) }
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { left(); progress() },
		GotFirstResponseByte: left, // which may be told first
	})
	out := req.WithContext(ctx)
	if out.Body != nil && out.Body != http.NoBody {
		out.Body = &watched{ReadCloser: out.Body, progress: progress, end: func() {}}
	}
	res, err := w.next.RoundTrip(out)
	timer.Stop()
	if err != nil {
		if s, ok := context.Cause(ctx).(*silence); ok {
			err = s
		}
		cancel(nil)
		return nil, err
	}
	if res.StatusCode < http.StatusOK { // such as 101: net/http and ReverseProxy would go on with it in ways that end no turn
		res.Body.Close()
		cancel(nil)
		return nil, fmt.Errorf("status %03d from Roam is no answer to a call", res.StatusCode)
	}
	res.Body = &watched{ReadCloser: res.Body, progress: progress, idle: func() { timer.Stop() }, cause: func() error { return context.Cause(ctx) }, end: func() { timer.Stop(); cancel(nil) }}
	return res, nil
}

// watched is a body whose reads are progress. Only the time within a read counts as Roam's: a tool that reads slowly has a
// deadline of its own.
type watched struct {
	io.ReadCloser
	progress, idle, end func()
	cause               func() error
}

func (b *watched) Read(p []byte) (int, error) {
	b.progress()
	n, err := b.ReadCloser.Read(p)
	if b.idle != nil {
		b.idle()
	}
	if err != nil && err != io.EOF && b.cause != nil {
		if s, ok := b.cause().(*silence); ok {
			err = s
		}
	}
	return n, err
}

func (b *watched) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
