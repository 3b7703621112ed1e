package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"roamproxy/limiter"
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
	v := &vigil{most: w.most, ctx: ctx, cancel: cancel}
	v.timer = time.AfterFunc(w.most, v.giveUp)
	if attempt := limiter.AttemptOf(ctx); attempt != nil {
		attempt.OnSent = v.progress
	}
	out := req.WithContext(ctx)
	if out.ContentLength != 0 { // an empty body stays what it is: through another type net/http would copy it, and take 32 KiB for that, 20 µs
		out.Body = &sending{out.Body, v}
	}
	res, err := w.next.RoundTrip(out)
	v.timer.Stop()
	if err != nil {
		err = v.reason(err)
		cancel(nil)
		return nil, err
	}
	if res.StatusCode < http.StatusOK { // such as 101: net/http would go on with it in ways that end no turn
		res.Body.Close()
		cancel(nil)
		return nil, fmt.Errorf("status %03d from Roam is no answer to a call", res.StatusCode)
	}
	res.Body = &receiving{res.Body, v}
	return res, nil
}

// vigil is the watch over one call.
type vigil struct {
	most   time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (v *vigil) giveUp()   { v.cancel(&silence{v.most}) }
func (v *vigil) progress() { v.timer.Reset(v.most) }

// reason is the silence, where that is why err came.
func (v *vigil) reason(err error) error {
	if s, ok := context.Cause(v.ctx).(*silence); ok {
		return s
	}
	return err
}

// sending is the body of a request: each piece that is taken is progress.
type sending struct {
	io.ReadCloser
	vigil *vigil
}

func (s *sending) Read(p []byte) (int, error) {
	s.vigil.progress()
	return s.ReadCloser.Read(p)
}

// receiving is the body of an answer. Only the time within a read counts as Roam's: a tool that reads slowly has a deadline of
// its own.
type receiving struct {
	io.ReadCloser
	vigil *vigil
}

func (r *receiving) Read(p []byte) (int, error) {
	r.vigil.progress()
	n, err := r.ReadCloser.Read(p)
	r.vigil.timer.Stop()
	if err != nil && err != io.EOF {
		err = r.vigil.reason(err)
	}
	return n, err
}

func (r *receiving) Close() error {
	defer r.vigil.cancel(nil)
	defer r.vigil.timer.Stop()
	return r.ReadCloser.Close()
}
