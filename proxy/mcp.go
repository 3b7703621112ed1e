package proxy

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/rpc"
)

// mcpRoute takes JSON-RPC messages of the Model Context Protocol.
const mcpRoute = eventstream.MCPPath

// mcpSubscribe is the method of MCP (2026-07-28) whose answer is an event stream without end.
const mcpSubscribe = "subscriptions/listen"

// isMCP reports whether the request posts messages of an agent.
func (rq *request) isMCP() bool { return rq.Method == http.MethodPost && rq.Route == mcpRoute }

// readMessages reads the messages that an agent posts, once for all later steps. The body is then in rq.body. If readMessages returns
// true, it has answered the request. Unreadable messages are passed through, unless Allow limits the tool to some messages.
func (p *Proxy) readMessages(rq *request) (answered bool) {
	if rq.r.ContentLength != 0 {
		if err := p.hold(rq, io.Discard); err != nil {
			p.fail(rq, err)
			return true
		}
		rq.r.Body, rq.r.ContentLength = rq.body, rq.body.Size()
		rq.messages = messagesIn(rq.r.Header, rq.body, rq.body.Size())
		rq.body.Seek(0, io.SeekStart)
	}
	if err := rq.tool.canPost(target(rq.r), rq.messages); err != nil {
		p.fail(rq, err)
		return true
	}
	if rq.messages != nil && hasMismatch(rq.r.Header, rq.messages) {
		p.fail(rq, errHeaderMismatch)
		return true
	}
	rq.label = p.mcpRoutes.label(rq.messages)
	rq.subscribes = rq.messages != nil && rq.messages.Has(mcpSubscribe)
	return false
}

// Header fields that repeat what a message says (MCP 2026-07-28), so that a gateway need not read the body.
const (
	methodHeader = "Mcp-Method"
	nameHeader   = "Mcp-Name"
)

var errHeaderMismatch = errors.New("the fields " + methodHeader + " and " + nameHeader + " contradict the body; the call was not sent")

// hasMismatch reports whether the header contradicts a message. The next server may believe the header.
func hasMismatch(h http.Header, messages *rpc.Body) bool {
	for _, m := range messages.Messages {
		differs := func(from string) func(string) bool { return func(value string) bool { return value != from } }
		if slices.ContainsFunc(h[methodHeader], differs(m.Method)) || m.HasName() && slices.ContainsFunc(h[nameHeader], differs(m.Name)) {
			return true
		}
	}
	return false
}

// messagesIn returns the messages of a body, or nil if servers could read it in different ways or not at all.
func messagesIn(h http.Header, body io.Reader, size int64) *rpc.Body {
	if size > rpc.MaxBody || !isPlainJSON(h) {
		return nil
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil
	}
	messages, err := rpc.Parse(data)
	if err != nil {
		return nil
	}
	return messages
}

// isPlainJSON reports whether a body is neither compressed nor in another character set than UTF-8.
func isPlainJSON(h http.Header) bool {
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return false
	}
	for _, value := range h["Content-Type"] {
		_, params, err := mime.ParseMediaType(value)
		if charset := params["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
			return false
		}
	}
	return true
}

// isSubscription reports whether a request to Roam asks for an event stream without end.
func isSubscription(req *http.Request) bool {
	c := callOf(req.Context())
	return c != nil && c.subscribes
}

// toolOf returns the name of the tool for which a request to Roam is made, or "".
func toolOf(req *http.Request) string {
	if c := callOf(req.Context()); c != nil {
		return c.Caller.Tool.Name
	}
	return ""
}
