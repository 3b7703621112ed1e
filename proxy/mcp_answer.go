package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"roamproxy/proxy/rpc"
)

// maxRefusedBody bounds how much of a body is read only to refuse its messages, in bytes.
const maxRefusedBody = 64 << 10

// refusedMessages returns the messages of a failed request, or nil if it has none that can be read. It reads the body if the request was
// refused before that; net/http would do so too before it sends the response.
func (rq *request) refusedMessages() *rpc.Body {
	isEarly := rq.messages == nil && rq.body == nil && rq.tool != nil && rq.r.ContentLength <= maxRefusedBody
	if !isEarly || rq.Method != http.MethodPost || routeOf(target(rq.r)) != mcpRoute {
		return rq.messages
	}
	return messagesIn(rq.r.Header, io.LimitReader(rq.r.Body, maxRefusedBody), 0)
}

// answerMessages returns the status and the body of an error answer to JSON-RPC messages. A model sees the results of its tool calls and
// no HTTP status. So a tool call that was not sent is answered 200, and its result says when to try again.
func answerMessages(messages *rpc.Body, err error, status int, body map[string]any) (int, []byte) {
	message, data := fmt.Sprint(body["message"]), map[string]any{"reason": body["reason"]}
	seconds, waits := body["retry_after"]
	if waits {
		data["retryAfterSeconds"] = seconds
	}
	e := rpc.Error{Code: status, Message: message, Data: data}
	if errors.Is(err, errHeaderMismatch) {
		e.Code = rpc.HeaderMismatch
	}
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return status, messages.Fail(e)
	}
	again := "try again later"
	if waits {
		again = fmt.Sprintf("try again in %v s", seconds)
	}
	text, isRead := messages.Refuse(e, "not sent; "+again+". "+message)
	if isRead {
		status = http.StatusOK
	}
	return status, text
}
