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
func (v *request) isMCP() bool { return v.Method == http.MethodPost && v.Route == mcpRoute }

// readMessages reads what an agent posts, once for all steps after it. The body waits in v.body. If readMessages returns true, it has
// answered the request. Messages that cannot be read are passed through, unless the tool may send only some.
func (p *Proxy) readMessages(v *request) (answered bool) {
	if v.r.ContentLength != 0 {
		if err := p.hold(v, io.Discard); err != nil {
			p.fail(v, err)
			return true
		}
		v.r.Body, v.r.ContentLength = v.body, v.body.Size()
		v.messages = messagesIn(v.r.Header, v.body, v.body.Size())
		v.body.Seek(0, io.SeekStart)
	}
	if err := v.tool.mayPost(target(v.r), v.messages); err != nil {
		p.fail(v, err)
		return true
	}
	if v.messages != nil && contradicts(v.r.Header, v.messages) {
		p.fail(v, errHeaderMismatch)
		return true
	}
	v.label = p.mcpRoutes.label(v.messages)
	v.subscribes = v.messages != nil && v.messages.Has(mcpSubscribe)
	return false
}

// Fields that say what a message is about (MCP 2026-07-28), so that a gateway need not read it.
const (
	methodHeader = "Mcp-Method"
	nameHeader   = "Mcp-Name"
)

var errHeaderMismatch = errors.New("the fields " + methodHeader + " and " + nameHeader + " contradict the body; the call was not sent")

// contradicts reports whether the header says something else of messages than they do: the next server may believe the header.
func contradicts(h http.Header, messages *rpc.Body) bool {
	for _, m := range messages.Messages {
		differs := func(from string) func(string) bool { return func(value string) bool { return value != from } }
		if slices.ContainsFunc(h[methodHeader], differs(m.Method)) || m.HasName() && slices.ContainsFunc(h[nameHeader], differs(m.Name)) {
			return true
		}
	}
	return false
}

// messagesIn reads the messages of a body; nil: they cannot be read, or not as any server would.
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

// isPlainJSON reports whether a body is what its bytes say: neither encoded, nor in another character set than JSON has.
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

// subscribes reports whether a request to Roam is such a call.
func subscribes(req *http.Request) bool {
	c := callOf(req.Context())
	return c != nil && c.subscribes
}

// toolOf returns the tool that a request to Roam is made for; "": none.
func toolOf(req *http.Request) string {
	if c := callOf(req.Context()); c != nil {
		return c.Caller.Tool.Name
	}
	return ""
}
