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
	"roamproxy/limiter/transport"
	"roamproxy/proxy/repeat"
)

// RepeatKind says why a repeated write was not sent to Roam again.
type RepeatKind string

// The kinds of a repeat.
const (
	RepeatUnknown  RepeatKind = "unknown"  // the outcome of the first write is unknown
	RepeatReplayed RepeatKind = "replayed" // it was answered with the first answer, by its Idempotency-Key
)

// RepeatKinds returns every RepeatKind.
func RepeatKinds() []RepeatKind { return []RepeatKind{RepeatUnknown, RepeatReplayed} }

// Header fields about repeats.
const (
	keyHeader    = "Idempotency-Key"
	repeatHeader = "Roamproxy-Repeat"
)

// isWrite reports whether the request may change something at Roam. A POST whose rule has key_body is a read.
func (p *Proxy) isWrite(rq *request) bool {
	return isWriteRoute(rq.Method, rq.Route) && !rq.treatment.Stores()
}

// handleRepeat decides whether a write is sent. If it is not, repeated has answered it and returns true. It holds the body.
func (p *Proxy) handleRepeat(rq *request) bool {
	key, err := repeat.ParseKey(rq.r.Header[keyHeader])
	if err != nil {
		p.fail(rq, err)
		return true
	}
	if key == "" && rq.treatment.Supersede != "" {
		return false // such a write, a heartbeat, may be executed twice
	}
	w := repeat.Write{Tool: rq.Tool, Key: key, Resend: strings.EqualFold(first(rq.own.repeat), "send")}
	remember, err := p.fingerprint(rq, &w)
	if err != nil {
		p.fail(rq, err)
		return true
	}
	if rq.chat = rq.namedChat(); rq.chat != "" {
		p.pulses.endTyping(rq)
	}
	if !remember {
		return false
	}
	begun := time.Now()
	pending, answer, err := p.o.Writes.Begin(rq.r.Context(), w, rq.maxWait())
	switch {
	case err != nil:
		rq.closeWrite()
		if errors.As(err, new(*repeat.UnknownError)) {
			rq.Repeat = RepeatUnknown
		}
		p.fail(rq, err)
		return true
	case answer != nil:
		rq.closeWrite()
		p.replay(rq, answer)
		return true
	}
	if waited := time.Since(begun); waited > 0 && key != "" { // the queue may use the rest of the longest wait
		rq.preferences.askedWait = max(rq.maxWait()-waited, 0)
	}
	rq.write = pending
	return false
}

// fingerprint holds the body, and sets the fingerprint of w. It reports false for MCP messages that change nothing.
func (p *Proxy) fingerprint(rq *request, w *repeat.Write) (remember bool, err error) {
	sum := sha256.New()
	if rq.body != nil {
		_, err = io.Copy(sum, rq.body)
		rq.body.Seek(0, io.SeekStart)
	} else if rq.r.ContentLength != 0 {
		err = p.hold(rq, sum)
	}
	if err != nil {
		return false, err
	}
	digest := repeat.Digest(sum.Sum(nil))
	if rq.messages != nil {
		calls, ok := repeat.ToolCalls(p.mcpWrites(rq))
		if !ok && w.Key == "" {
			return false, nil
		}
		if ok {
			digest = calls
		}
	}
	w.Fingerprint = repeat.Fingerprint(rq.Method, target(rq.r), rq.r.URL.RawQuery, digest)
	return true, nil
}

// hold reads the body of the request into rq.body, and writes the same bytes to copied.
func (p *Proxy) hold(rq *request, copied io.Writer) (err error) {
	body := p.upload(rq)
	rq.body, err = p.o.Bodies.Hold(rq.tool.limiterTool, struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, copied), body})
	return err
}

// callContext returns the context of the request's call, and the function that cancels it.
func (rq *request) callContext() (context.Context, context.CancelCauseFunc) {
	if rq.write != nil {
		return rq.write.Outlive(rq.r.Context())
	}
	return context.WithCancelCause(rq.r.Context())
}

// replay answers a repeated write with the answer to the first.
func (p *Proxy) replay(rq *request, a *repeat.Answer) {
	rq.Status, rq.Repeat = a.Status, RepeatReplayed
	h := rq.w.Header()
	p.mergeClean(h, a.Header, rq, isForTool)
	h.Set("Idempotent-Replayed", "true")
	p.mark(h, rq, "roamproxy; detail=replayed")
	if canHaveBody(a.Status) {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w := &toolWriter{ResponseWriter: rq.w}
	w.WriteHeader(a.Status)
	if canHaveBody(a.Status) {
		w.Write(a.Body)
	}
}

// recordFailedWrite records a write that Roam did not answer.
func (rq *request) recordFailedWrite(err error) {
	if rq.write == nil {
		return
	}
	if !rq.canHaveRun(err) {
		rq.write.NotSent()
		return
	}
	status, _, _ := describe(err)
	if status != http.StatusBadGateway {
		status = http.StatusGatewayTimeout // its tool left before the answer
	}
	rq.write.Unknown(status)
}

// canHaveRun reports whether Roam may have executed a call that ended with err.
func (rq *request) canHaveRun(err error) bool {
	var sending *transport.SendError
	if errors.As(err, &sending) {
		return sending.Sent
	}
	return rq.call.sent.Load() && !errors.As(err, new(*limiter.Refusal))
}

// closeWrite frees the body. A write whose end was not reported then has an unknown outcome.
func (rq *request) closeWrite() {
	if rq.body != nil {
		rq.body.Close()
	}
	if rq.write != nil {
		rq.write.Close()
	}
}

// describeRepeat is describe for the errors of package repeat. ok is false for others.
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

// repeatSentence is sentence for the errors of package repeat. ok is false for others.
func repeatSentence(err error, code Code) (text string, ok bool) {
	var large *repeat.TooLargeError
	switch {
	case code == codeOutcomeUnknown:
		return "The same write was sent before, and may have been executed; it was not sent again. " +
			"Check whether it was; if not, repeat it with the header Roamproxy-Repeat: send.", true
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
