package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/limiter/transport"
	"roamproxy/proxy/budget"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/paging"
	"roamproxy/proxy/repeat"
)

// statusClientGone is the status in the log if the tool has left. It is sent too: a tool that closed only its own half of the
// connection must not take an empty response for a good one.
const statusClientGone = 499

// describe returns how an error is answered: the status, the code, and the error type of Proxy-Status (RFC 9209, section 2.3).
func describe(err error) (status int, code Code, kind string) {
	var tooLarge *http.MaxBytesError
	var sending *transport.SendError
	var quiet net.Error
	if status, code, kind, ok := describeRepeat(err); ok {
		return status, code, kind
	}
	switch {
	case errors.As(err, new(*budget.UsedUpError)): // as with the following, not sent: safe to repeat
		return 429, codeBudget, "connection_limit_reached"
	case errors.Is(err, limiter.ErrQueueFull):
		return 429, codeQueueFull, "connection_limit_reached"
	case errors.Is(err, limiter.ErrWaitTooLong):
		return 429, codeWaitTooLong, "connection_limit_reached"
	case errors.Is(err, transport.ErrTooManyOpen):
		return 429, codeTooManyOpen, "connection_limit_reached"
	case errors.Is(err, limiter.ErrPaused):
		return 429, codePaused, "destination_unavailable"
	case errors.Is(err, limiter.ErrClosed), errors.Is(err, eventstream.ErrDraining):
		return 503, codeShuttingDown, "destination_unavailable"
	case errors.Is(err, errUnsupported):
		return 501, codeUnsupported, "http_request_error"
	case errors.As(err, new(*paging.Error)):
		return 400, codeBadRequest, "http_request_error"
	case errors.Is(err, errTarget), errors.Is(err, errAmbiguous), errors.Is(err, errHeaderMismatch):
		return 400, codeBadRequest, "http_request_error"
	case errors.Is(err, errHost):
		return 421, codeHost, "http_request_denied"
	case errors.Is(err, errBrowser):
		return 403, codeBrowser, "http_request_denied"
	case errors.Is(err, errUnauthorized):
		return 401, codeUnauthorized, "http_request_denied"
	case errors.Is(err, errNotAllowed):
		return 403, codeNotAllowed, "http_request_denied"
	case errors.As(err, &tooLarge):
		return 413, codeBodyTooLarge, "http_request_error"
	case errors.Is(err, transport.ErrBody):
		return 400, codeBadRequest, "http_request_error"
	case errors.Is(err, credential.ErrCredential):
		return 502, codeCredential, "proxy_configuration_error"
	case errors.Is(err, cache.ErrOnlyIfCached):
		return 504, codeOnlyIfCached, "http_request_denied"
	case errors.Is(err, context.Canceled):
		return statusClientGone, codeCanceled, "connection_terminated"
	case errors.As(err, &quiet) && quiet.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return 504, codeTimeout, "http_response_timeout"
	case errors.As(err, &sending) && sending.Sent:
		return 502, codeUnreachable, "connection_terminated"
	case errors.As(err, &sending):
		return 502, codeUnreachable, "destination_unavailable"
	}
	return 502, codeUnreachable, "http_response_incomplete"
}

// sentence returns the message of an answer: what happened, and what to do. It does not use the text of the error, which may name
// addresses.
func sentence(err error, code Code) string {
	var sending *transport.SendError
	switch code {
	case codeUnreachable, codeTimeout:
		if errors.As(err, &sending) && !sending.Sent {
			return "Roam could not be reached; the call was not sent."
		}
		if code == codeTimeout {
			return "Roam did not answer in time; the call may have reached it."
		}
		return "The connection to Roam broke; the call may have reached it."
	case codeBudget:
		return "This tool has used up its calls of today; the call was not sent and may be repeated after midnight UTC."
	case codeQueueFull:
		switch {
		case errors.Is(err, transport.ErrBytesFull):
			return "The bodies of this tool's queued calls take as much as they may (limits.queue_bytes); the call was not sent and may be repeated."
		case errors.Is(err, errTooManyCalls):
			return "This tool has as many requests in progress as it may (quotas.max_queue, limits.max_connections); the call was not sent and " +
				"may be repeated."
		}
		return "The queue is full; the call was not sent and may be repeated."
	case codeWaitTooLong:
		return "The call would be queued for longer than it may wait; it was not sent and may be repeated."
	case codePaused:
		return "Roam asked for a pause that is longer than the call may wait; it was not sent and may be repeated."
	case codeTooManyOpen:
		return "The tool is reading as many responses as it may (upstream.max_open); the call was not sent and may be repeated once one of " +
			"them has ended."
	case codeShuttingDown:
		return "roamproxy is stopping; the call was not sent and may be repeated."
	case codeCredential:
		return "There is no usable credential for Roam; roamproxy's log and /readyz say why. The call was not sent."
	case codeBodyTooLarge:
		return "The body is larger than limits.max_body."
	case codeOnlyIfCached:
		return "There is no fresh answer in the cache, and the request asked for only-if-cached."
	case codeCanceled:
		return "The tool closed the connection."
	}
	if text, ok := repeatSentence(err, code); ok {
		return text
	}
	if errors.Is(err, transport.ErrBody) {
		return "The request's body ended early or came too slowly; the call was not sent."
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// roamCode returns Roam's own code for a problem, or else code.
func roamCode(code Code) string {
	switch code {
	case codeQueueFull, codeWaitTooLong, codePaused, codeBudget, codeTooManyOpen:
		return "ratelimited"
	case codeUnauthorized:
		return "invalid_token"
	}
	return string(code)
}

// linger bounds how long net/http reads the rest of a refused request's body. A tool reads the response once it has sent its body.
const linger = 5 * time.Second

// fail answers a request with an error, in the form of Roam's own errors, so that Roam's clients can read it.
func (p *Proxy) fail(rq *request, err error) {
	r := rq.r
	if rq.call != nil {
		rq.recordCall(rq.call)
	}
	if r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())) {
		err = context.Canceled
	}
	status, code, kind := describe(err)
	rq.Status, rq.Code, rq.Err = status, code, err
	p.invalidateUnanswered(rq, err)
	body := map[string]any{"ok": false, "error": roamCode(code), "message": sentence(err, code), "reason": code}
	var roams *paging.Error
	if errors.As(err, &roams) {
		body = roams.Body(rq.Route)
	}
	h := rq.w.Header()
	var refusal *limiter.Refusal
	if errors.As(err, &refusal) && (status == 429 || status == 503) {
		seconds := int(max(math.Ceil(refusal.RetryAfter.Seconds()), 1))
		h.Set("Retry-After", strconv.Itoa(seconds))
		body["retry_after"] = seconds
	}
	if errors.Is(err, repeat.ErrInProgress) || errors.Is(err, eventstream.ErrDraining) {
		h.Set("Retry-After", "1") // another try waits as long as this one did, or meets the next process
		body["retry_after"] = 1
	}
	h.Set("Proxy-Status", fmt.Sprintf(`roamproxy; error=%s; details="%s"`, kind, code))
	h.Set("Roamproxy-Error", string(code))
	h.Set("Content-Type", "application/json")
	p.mark(h, rq, rq.forwarded())
	// for the rest of a body net/http waits before it writes, and without end
	http.NewResponseController(rq.w).SetReadDeadline(time.Now().Add(linger))
	text, _ := json.Marshal(body)
	text = append(text, '\n')
	if messages := rq.refusedMessages(); messages != nil {
		rq.Status, text = answerMessages(messages, err, status, body)
		status = rq.Status
	}
	if len(text) == 0 {
		delete(h, "Content-Type")
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w := &toolWriter{ResponseWriter: rq.w}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(text)
	}
}

// IsThrottled reports whether an error is about the quota rather than about Roam, so that a stale answer may be served.
func IsThrottled(err error) bool {
	var refusal *limiter.Refusal
	return errors.As(err, &refusal) && !errors.Is(err, limiter.ErrClosed)
}
