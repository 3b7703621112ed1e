package eventstream

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"roamproxy/proxy/httpbody"
)

// MCPPath is where Roam serves the Model Context Protocol.
const MCPPath = "/mcp"

// absenceTTL is how long Roam's answer that it offers no stream is cached. MCP clients ask at the start of each session.
const absenceTTL = 10 * time.Minute

// maxAbsence bounds the body of that answer, in bytes. Roam's errors are a line of JSON.
const maxAbsence = 4 << 10

// absence is Roam's answer that it offers no stream.
type absence struct {
	status int
	header http.Header
	body   []byte
	until  time.Time
}

// isAbsence reports whether an answer to GET /mcp means that there is no stream for any client: 405 (MCP, Streamable HTTP), or 404 to a
// client without a session. To a client with a session, 404 means that the session has ended.
func isAbsence(req *http.Request, status int) bool {
	return pathOf(req) == MCPPath &&
		(status == http.StatusMethodNotAllowed || status == http.StatusNotFound && req.Header.Get("Mcp-Session-Id") == "")
}

// absenceFor returns the cached answer that an upstream offers no stream, or nil.
func (s *Streams) absenceFor(upstream string, req *http.Request) *http.Response {
	s.mu.Lock()
	a := s.absent[upstream]
	s.mu.Unlock()
	if a == nil || !time.Now().Before(a.until) || !isAbsence(req, a.status) {
		return nil
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: req,
	}
}

// rememberAbsence caches an answer that says that there is no stream. The body of res can still be read from its beginning.
func (s *Streams) rememberAbsence(upstream string, res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAbsence+1))
	res.Body = httpbody.Unread(body, res.Body, nil)
	if err != nil || len(body) > maxAbsence {
		return err
	}
	header := make(http.Header)
	for _, name := range []string{"Allow", "Content-Type", "Content-Encoding"} {
		if values := res.Header[name]; values != nil {
			header[name] = values
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent[upstream] = &absence{res.StatusCode, header, body, time.Now().Add(absenceTTL)}
	return nil
}
