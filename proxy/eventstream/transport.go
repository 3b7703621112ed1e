package eventstream

import (
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"roamproxy/proxy/httpbody"
)

// Transport is the step that delays and ends event streams, before the queue. It does not change other requests. Errors are those of Next,
// ErrDraining, and the cause of the request's context.
type Transport struct {
	Next     http.RoundTripper
	Streams  *Streams
	Upstream string                     // name of the credential that Next uses
	Tool     func(*http.Request) string // returns the tool that makes the request
	// Subscribes reports whether a request other than GET asks for a stream without end, as subscriptions/listen of MCP does.
	Subscribes func(*http.Request) bool
}

var _ http.RoundTripper = (*Transport)(nil)

// IsWanted reports whether a client asks for an event stream.
func IsWanted(h http.Header) bool {
	for _, value := range h["Accept"] {
		for part := range strings.SplitSeq(value, ",") {
			if isEventStream(part) {
				return true
			}
		}
	}
	return false
}

// isEventStream reports whether a media type is that of server-sent events. Few are, and to parse one takes two allocations.
func isEventStream(mediaType string) bool {
	if !strings.Contains(strings.ToLower(mediaType), "event-stream") {
		return false
	}
	kind, _, _ := mime.ParseMediaType(mediaType)
	return kind == "text/event-stream"
}

// RoundTrip opens a stream, or passes another request to Next.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	get := req.Method == http.MethodGet && IsWanted(req.Header)
	if !get && !t.Subscribes(req) {
		return t.Next.RoundTrip(req)
	}
	if get {
		if res := t.Streams.absenceFor(t.Upstream, req); res != nil {
			httpbody.Close(req)
			return res, nil
		}
	}
	st, err := t.Streams.begin(req.Context())
	if err != nil {
		httpbody.Close(req)
		return nil, err
	}
	client := t.client(req)
	if err := t.Streams.waitToReopen(st.ctx, client); err != nil {
		t.Streams.end(st)
		httpbody.Close(req)
		return nil, err
	}
	res, err := t.Next.RoundTrip(req.WithContext(st.ctx))
	if err != nil {
		t.Streams.end(st)
		return nil, err
	}
	if get && isAbsence(req, res.StatusCode) {
		if err := t.Streams.rememberAbsence(t.Upstream, res); err != nil {
			res.Body.Close()
			t.Streams.end(st)
			return nil, err
		}
	}
	res.Body = &body{ReadCloser: res.Body, t: t, st: st, client: client, opened: time.Now(), events: IsStream(res.Header)}
	return res, nil
}

// client returns what identifies the client of a stream: a session of MCP, or else a tool.
func (t *Transport) client(req *http.Request) string {
	session := req.Header.Get("Mcp-Session-Id")
	if len(session) > maxSession {
		session = session[:maxSession]
	}
	return strings.Join([]string{t.Tool(req), req.Method, pathOf(req), session}, "\n")
}

// pathOf returns the path as it is sent. Package proxy puts it into Opaque.
func pathOf(req *http.Request) string {
	if req.URL.Opaque != "" {
		return req.URL.Opaque
	}
	return req.URL.Path
}

// maxSession bounds the part of a session's id that is compared, in bytes. A UUID has 36.
const maxSession = 128

// body is the body of a stream.
type body struct {
	io.ReadCloser
	t      *Transport
	st     *stream
	client string
	opened time.Time
	events bool // it is an event stream, and not another answer to a request for one
	once   sync.Once
}

// Read ends without an error when the stream is drained: the client opens another.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if b.st.isDrained() && b.events {
		err = io.EOF
	}
	ended := b.events && b.st.ctx.Err() == nil // by Roam or the network
	b.once.Do(func() {
		if ended {
			b.t.Streams.noteEnd(b.client, b.opened)
		}
		b.t.Streams.end(b.st)
	})
	return n, err
}

// Close ends the stream at Roam.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.t.Streams.end(b.st) })
	return err
}
