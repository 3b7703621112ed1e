package proxy

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"roamproxy/limiter"
	"roamproxy/proxy/repeat"
)

// Kinds of Report.Repeat.
const (
	RepeatUnknown  = "unknown"
	RepeatReplayed = "replayed"
)

// Fields that a repeat is told by.
const (
	keyHeader    = "Idempotency-Key"
	repeatHeader = "Roamproxy-Repeat"
)

// isWrite reports whether the request may change something at Roam. A rule with key_body says of a POST that it reads.
func (p *Proxy) isWrite(v *request) bool { return writes(v.Method, v.Route) && !v.rule.Keeps() }

// repeated decides whether a write is sent. If it is not, repeated has answered it and returns true. It holds the body.
func (p *Proxy) repeated(v *request) bool {
	key, err := repeat.ParseKey(v.r.Header[keyHeader])
	if err != nil {
		p.fail(v, err)
		return true
	}
	if key == "" && v.rule.Supersede != "" {
		return false // a later one replaces it, as of heartbeats: it may be executed twice
	}
	w := repeat.Write{Tool: v.Tool, Key: key, Resend: strings.EqualFold(v.own.Get(repeatHeader), "send")}
	remember, err := p.fingerprint(v, &w)
	if err != nil {
		p.fail(v, err)
		return true
	}
	if v.chat = v.namedChat(); v.chat != "" {
		p.pulses.endTyping(v)
	}
	if !remember {
		return false
	}
	begun := time.Now()
	pending, answer, err := p.o.Writes.Begin(v.r.Context(), w, v.longestWait())
	switch {
	case err != nil:
		v.closeWrite()
		if errors.As(err, new(*repeat.UnknownError)) {
			v.Repeat = RepeatUnknown
		}
		p.fail(v, err)
		return true
	case answer != nil:
		v.closeWrite()
		p.replay(v, answer)
		return true
	}
	if waited := time.Since(begun); waited > 0 && key != "" { // the queue may take what is left of the longest wait
		v.preferences.longest = max(v.longestWait()-waited, 0)
	}
	v.write = pending
	return false
}

// fingerprint holds the body and identifies what the write sends. It reports false for MCP messages that change nothing.
func (p *Proxy) fingerprint(v *request, w *repeat.Write) (remember bool, err error) {
	sum := sha256.New()
	if v.body != nil {
		_, err = io.Copy(sum, v.body)
		v.body.Seek(0, io.SeekStart)
	} else if v.r.ContentLength != 0 {
		err = p.hold(v, sum)
	}
	if err != nil {
		return false, err
	}
	digest := repeat.Digest(sum.Sum(nil))
	if v.messages != nil {
		calls, ok := repeat.ToolCalls(p.changes(v))
		if !ok && w.Key == "" {
			return false, nil
		}
		if ok {
			digest = calls
		}
	}
	w.Fingerprint = repeat.Fingerprint(v.Method, target(v.r), v.r.URL.RawQuery, digest)
	return true, nil
}

// hold reads the body of the request, which waits in v.body from then on. What is read is written to copied as well.
func (p *Proxy) hold(v *request, copied io.Writer) (err error) {
	body := p.upload(v)
	v.body, err = p.o.Bodies.Hold(v.tool.line.Name, struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, copied), body})
	return err
}

// callContext returns the context of the request's call, and cancel.
func (v *request) callContext() (context.Context, context.CancelCauseFunc) {
	if v.write != nil {
		return v.write.Outlive(v.r.Context())
	}
	return context.WithCancelCause(v.r.Context())
}

// replay gives the first answer again.
func (p *Proxy) replay(v *request, a *repeat.Answer) {
	v.Status, v.Repeat = a.Status, RepeatReplayed
	from := cloneShared(a.Header)
	p.clean(from, v)
	h := v.w.Header()
	merge(h, from)
	h.Set("Idempotent-Replayed", "true")
	p.mark(h, v, "roamproxy; detail=replayed")
	if bodyAllowed(a.Status) {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w := &toolWriter{ResponseWriter: v.w}
	w.WriteHeader(a.Status)
	if bodyAllowed(a.Status) {
		w.Write(a.Body)
	}
}

// failedWrite reports a write that Roam did not answer.
func (v *request) failedWrite(err error) {
	if v.write == nil {
		return
	}
	if !v.maybeExecuted(err) {
		v.write.NotSent()
		return
	}
	status, _, _ := describe(err)
	if status != http.StatusBadGateway {
		status = http.StatusGatewayTimeout // its tool left before the answer
	}
	v.write.Unknown(status)
}

// maybeExecuted reports whether Roam may have executed a call that ended with err.
func (v *request) maybeExecuted(err error) bool {
	var sending *limiter.SendError
	if errors.As(err, &sending) {
		return sending.Sent
	}
	return v.call.sent.Load() && !errors.As(err, new(*limiter.Refusal))
}

// closeWrite frees the body, and ends a write whose end nobody reported.
func (v *request) closeWrite() {
	if v.body != nil {
		v.body.Close()
	}
	if v.write != nil {
		v.write.Close()
	}
}

// describeRepeat is the part of describe that is about repeats.
func describeRepeat(err error) (status int, code Code, kind string, ok bool) {
	var unknown *repeat.UnknownError
	switch {
	case errors.As(err, &unknown) && unknown.Status == http.StatusGatewayTimeout:
		return unknown.Status, codeOutcomeUnknown, "http_response_timeout", true
	case errors.As(err, &unknown):
		return unknown.Status, codeOutcomeUnknown, "connection_terminated", true
	case errors.Is(err, repeat.ErrKey):
		return http.StatusBadRequest, codeBadRequest, "http_request_error", true
	case errors.Is(err, repeat.ErrKeyReused):
		return http.StatusUnprocessableEntity, codeKeyReused, "http_request_error", true
	case errors.Is(err, repeat.ErrInProgress):
		return http.StatusConflict, codeInProgress, "http_request_denied", true
	case errors.As(err, new(*repeat.TooLargeError)):
		return http.StatusConflict, codeAnswerNotKept, "http_request_denied", true
	}
	return 0, "", "", false
}

// repeatSentence is the part of sentence that is about repeats.
func repeatSentence(err error, code Code) (text string, ok bool) {
	var large *repeat.TooLargeError
	switch {
	case code == codeOutcomeUnknown:
		return "The same write was sent before, and may have been executed; it was not sent again. " +
			"Look whether it was; if not, repeat it with the header Roamproxy-Repeat: send.", true
	case code == codeKeyReused:
		return "This Idempotency-Key was used for another method, path or body; the call was not sent. Use a new key.", true
	case code == codeInProgress:
		return "The first call with this Idempotency-Key is still in progress; this one was not sent and may be repeated.", true
	case errors.As(err, &large):
		return "The first call with this Idempotency-Key was answered with " + strconv.Itoa(large.Status) +
			"; the answer is too large to be kept. The call was not sent again.", true
	case errors.Is(err, repeat.ErrKey):
		return "An Idempotency-Key must be one string of 1 to 255 printable ASCII characters; the call was not sent.", true
	}
	return "", false
}
