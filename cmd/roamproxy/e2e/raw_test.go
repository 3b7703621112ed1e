package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/e2e/faultnet"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

const (
	wireHost     = "Host: localhost\r\n"
	wirePost     = "POST /v1/chat.post HTTP/1.1\r\n" + wireHost
	wireGet      = "GET /v1/meeting.search HTTP/1.1\r\n" + wireHost
	wireSmuggled = "GET /v1/smuggled HTTP/1.1\r\n" + wireHost + "\r\n"
	wireBody     = `{"chat":"C-1","text":"hello"}` // 29 bytes, 1d in hexadecimal
	wireChunked  = "Transfer-Encoding: chunked\r\n"
	wireChunks   = "1d\r\n" + wireBody + "\r\n0\r\n\r\n"
)

// wireRequest is what a tool should not send, or what two servers might read in two ways.
type wireRequest struct {
	name, request string
	answers       string // the status codes, in order; "": none
	calls         int    // that Roam sees
}

// expectOnTheWire sends each request. Every request has one answer and at most one call, and Roam receives plain text only. A
// connection that stays open is in step: the next request has its own answer.
func expectOnTheWire(t *testing.T, requests []wireRequest) {
	t.Helper()
	roam := roamtest.NewServer(roamtest.Options{Rate: 1000, Burst: 1000})
	t.Cleanup(roam.Close)
	wire := faultnet.New(t, strings.TrimPrefix(roam.URL, "http://"))
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
		c.Upstream.URL = "http://" + wire.Addr
		c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].Jitter = 1000, 1000, 0
	})
	for _, tt := range requests {
		t.Run(tt.name, func(t *testing.T) {
			calls := roam.Calls()
			wire.Sent()
			answers, err := raw(t, r.Addr, tt.request)
			if err != nil || strings.Join(answers, " ") != tt.answers || roam.Calls()-calls != tt.calls {
				t.Errorf("answered %q and %d calls (%v); want %q and %d", answers, roam.Calls()-calls, err, tt.answers, tt.calls)
			}
			sent := bytes.ReplaceAll(wire.Sent(), []byte("\r\n"), nil)
			if i := bytes.IndexFunc(sent, func(c rune) bool { return c < ' ' || c == 0x7f }); i >= 0 {
				t.Errorf("Roam received the control byte %#x", sent[i])
			}
			if tt.calls > 0 && len(sent) == 0 {
				t.Error("nothing of the call was recorded on its way to Roam")
			}
		})
	}
}

// Lines, and which bytes may stand in them.
//
// Seen to fail with the path forwarded decoded (an encoded line end fails then).
func TestLinesOnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"a header field over two lines", wireGet + "X-Note: one\r\n two\r\n\r\n", "200", 1},
		{"a first header field that begins with a space", "GET /v1/meeting.search HTTP/1.1\r\n Host: localhost\r\nX: y\r\n\r\n", "400", 0},
		{"a folded length", wirePost + "Content-Length:\r\n 29\r\n\r\n" + wireBody, "200", 1},
		{"lines that end in LF alone", "GET /v1/meeting.search HTTP/1.1\nHost: localhost\n\n", "200", 1},
		{"lines that end in CR alone", "GET /v1/meeting.search HTTP/1.1\rHost: localhost\r\r", "400", 0},
		{"a CR within a value", wireGet + "X: a\rb\r\n\r\n", "400", 0},
		{"a NUL within a value", wireGet + "X: a\x00b\r\n\r\n", "400", 0},
		{"a NUL within a name", wireGet + "X\x00: a\r\n\r\n", "400", 0},
		{"a DEL within a value", wireGet + "X: a\x7fb\r\n\r\n", "400", 0},
		{"a NUL within the path", "GET /v1/token\x00info HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"a NUL within the query", "GET /v1/meeting.search?a=\x00 HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"an encoded line end in the path", "GET /v1/meeting.search%0d%0aX:%20y HTTP/1.1\r\n" + wireHost + "\r\n", "404", 1},
		{"an encoded line end in the query", "GET /v1/meeting.search?a=%0d%0aX:%20y HTTP/1.1\r\n" + wireHost + "\r\n", "200", 1},
		{"a NUL within the method", "GE\x00T /v1/meeting.search HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"a space before the colon", wirePost + "Content-Length : 29\r\n\r\n" + wireBody, "400", 0},
		{"a line without a colon", wireGet + "nonsense\r\n\r\n", "400", 0},
		{"an empty name", wireGet + ": x\r\n\r\n", "400", 0},
		{"an empty line first", "\r\nGET /v1/meeting.search HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"two spaces in the first line", "GET  /v1/meeting.search HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"a space within the path", "GET /v1/meeting.search x HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"HTTP/0.9", "GET /v1/meeting.search\r\n\r\n", "400", 0},
		{"HTTP/1.2, which is read as 1.1", "GET /v1/meeting.search HTTP/1.2\r\n" + wireHost + "\r\n", "200", 1},
		{"HTTP/3.0", "GET /v1/meeting.search HTTP/3.0\r\n" + wireHost + "\r\n", "505", 0},
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", 0},
		{"a TLS handshake", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", "400", 0},
		{"a header of a megabyte", wireGet + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "431", 0},
	})
}

// Hosts and targets.
func TestHostsOnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"no Host", "GET /v1/meeting.search HTTP/1.1\r\n\r\n", "400", 0},
		{"two Hosts", wireGet + wireHost + "\r\n", "400", 0},
		{"a Host with a path", "GET /v1/meeting.search HTTP/1.1\r\nHost: localhost/evil\r\n\r\n", "400", 0},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\n" + wireHost + "\r\n", "501", 0},
		{"an absolute target", "GET http://evil.example/v1/meeting.search HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"an asterisk as the target", "OPTIONS * HTTP/1.1\r\n" + wireHost + "\r\n", "400", 0},
		{"an asterisk of another host", "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421", 0},
	})
}

// Lengths of bodies, also beside chunks.
func TestLengthsOnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"two equal lengths", wirePost + "Content-Length: 29\r\nContent-Length: 29\r\n\r\n" + wireBody, "200", 1},
		{"two lengths", wirePost + "Content-Length: 29\r\nContent-Length: 2\r\n\r\n" + wireBody, "400", 0},
		{"two lengths in one field", wirePost + "Content-Length: 29, 29\r\n\r\n" + wireBody, "400", 0},
		{"a negative length", wirePost + "Content-Length: -1\r\n\r\n", "400", 0},
		{"a length with a sign", wirePost + "Content-Length: +29\r\n\r\n" + wireBody, "400", 0},
		{"a length in hexadecimal", wirePost + "Content-Length: 0x1d\r\n\r\n" + wireBody, "400", 0},
		{"a length beyond all bounds", wirePost + "Content-Length: 99999999999999999999\r\n\r\n" + wireBody, "400", 0},
		{"a length and chunks", wirePost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + wireChunks, "200", 1},
		{"chunks and a length of a request within", wirePost + "Content-Length: 120\r\nTransfer-Encoding: chunked\r\n\r\n" + "0\r\n\r\n", "400",
			1},
		{"a request behind chunks and a length", wirePost + "Content-Length: 46\r\n" + wireChunked + "\r\n" + wireChunks + wireSmuggled, "200",
			1},
		{"a request behind a folded coding", wirePost + "Content-Length: 46\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" +
			wireChunks + wireSmuggled, "200", 1},
	})
}

// Transfer codings.
func TestTransferCodingsOnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"chunks", wirePost + wireChunked + "\r\n" + wireChunks, "200", 1},
		{"chunks in capitals", wirePost + "Transfer-Encoding: CHUNKED\r\n\r\n" + wireChunks, "200", 1},
		{"chunked twice", wirePost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + wireChunks, "501", 0},
		{"chunked, chunked", wirePost + "Transfer-Encoding: chunked, chunked\r\n\r\n" + wireChunks, "501", 0},
		{"a coding that is not chunked", wirePost + "Transfer-Encoding: xchunked\r\n\r\n" + wireChunks, "501", 0},
		{"gzip, then chunked", wirePost + "Transfer-Encoding: gzip, chunked\r\n\r\n" + wireChunks, "501", 0},
		{"identity", wirePost + "Transfer-Encoding: identity\r\nContent-Length: 29\r\n\r\n" + wireBody, "501", 0},
		{"a coding after a tab", wirePost + "Transfer-Encoding:\tchunked\r\n\r\n" + wireChunks, "200", 1},
		{"a coding after a vertical tab", wirePost + "Transfer-Encoding: \vchunked\r\n\r\n" + wireChunks, "400", 0},
		{"a coding in a folded line", wirePost + "Transfer-Encoding:\r\n chunked\r\n\r\n" + wireChunks, "200", 1},
		{"an underscore for the hyphen", wirePost + "Transfer_Encoding: chunked\r\nContent-Length: 29\r\n\r\n" + wireBody, "200", 1},
		{"no coding", wirePost + "Transfer-Encoding:\r\n\r\n" + wireChunks, "501", 0},
	})
}

// Chunks and trailers.
func TestChunksOnTheWire(t *testing.T) {
	long, huge := strings.Repeat("x", 1<<16), strings.Repeat("x", 12<<20)
	extended := "1;" + strings.Repeat("x", 100) + "\r\nx\r\n"
	expectOnTheWire(t, []wireRequest{
		{"a chunk beyond 64 bits", wirePost + wireChunked + "\r\nfffffffffffffffff\r\n" + wireBody, "400", 0},
		{"a chunk of almost all of memory", wirePost + wireChunked + "\r\n7fffffffffffffff\r\n" + huge, "413", 0},
		{"a negative chunk", wirePost + wireChunked + "\r\n-1\r\n" + wireBody, "400", 0},
		{"a chunk with a 0x", wirePost + wireChunked + "\r\n0x1d\r\n" + wireBody + "\r\n0\r\n\r\n", "400", 0},
		{"a chunk without a size", wirePost + wireChunked + "\r\n\r\n" + wireBody + "\r\n0\r\n\r\n", "400", 0},
		{"a chunk that is longer than it says", wirePost + wireChunked + "\r\n2\r\n" + wireBody + "\r\n0\r\n\r\n", "400", 0},
		{"a chunk with an extension", wirePost + wireChunked + "\r\n1d;x=y\r\n" + wireBody + "\r\n0\r\n\r\n", "200", 1},
		{"an extension that does not end", wirePost + wireChunked + "\r\n1d;" + long + "\r\n" + wireBody + "\r\n0\r\n\r\n", "400", 0},
		{"chunks of one byte, each with an extension", wirePost + wireChunked + "\r\n" + strings.Repeat(extended, 1000) + "0\r\n\r\n", "400", 0},
		{"chunks of LF alone", wirePost + wireChunked + "\r\n1d\n" + wireBody + "\n0\n\n", "400", 0},
		{"a trailer", wirePost + wireChunked + "Trailer: X-Sum\r\n\r\n1d\r\n" + wireBody + "\r\n0\r\nX-Sum: 1\r\n\r\n", "200", 1},
		{"a trailer with a credential", wirePost + wireChunked + "Trailer: Authorization\r\n\r\n" +
			"1d\r\n" + wireBody + "\r\n0\r\nAuthorization: x\r\n\r\n", "200", 1},
		{"a trailer with a NUL", wirePost + wireChunked + "\r\n1d\r\n" + wireBody + "\r\n0\r\nX: \x00\r\n\r\n", "400", 0},
	})
}

// HTTP/1.0 with connections that stay open.
//
// Seen to fail without the "Connection: close" of HTTP/1.0 (two answers).
func TestHTTP10OnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"HTTP/1.0 that keeps its connection", "GET /v1/meeting.search HTTP/1.0\r\n" + wireHost + "Connection: keep-alive\r\n\r\n", "200", 1},
		{"HTTP/1.0 with chunks that keeps its connection", "POST /v1/chat.post HTTP/1.0\r\n" + wireHost + "Connection: keep-alive\r\n" +
			wireChunked + "\r\n" + wireChunks, "400", 1},
	})
}

// Several requests that arrive together.
func TestPipelinedRequestsOnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"two reads", wireGet + "\r\nGET /v1/nothing HTTP/1.1\r\n" + wireHost + "\r\n", "200 404", 2},
		{"a write and a read", wirePost + "Content-Length: 29\r\n\r\n" + wireBody + wireGet + "\r\n", "200 200", 2},
		{"a read with a body that looks like a request", wireGet + "Content-Length: 43\r\n\r\n" +
			"GET /v1/other.x HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 400", 1},
		{"a refused request, and another behind it", "GET /v1/meeting.search HTTP/1.1\r\nHost: evil.example\r\n\r\n" + wireGet + "\r\n",
			"421 200", 1},
		{"an upgrade, and a read behind it", wireGet + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" +
			"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + wireGet + "\r\n", "200 200", 2},
	})
}

// Expect.
//
// Seen to fail with Expect forwarded (100 twice).
func TestExpectationsOnTheWire(t *testing.T) {
	expectOnTheWire(t, []wireRequest{
		{"100-continue", wirePost + "Expect: 100-continue\r\nContent-Length: 29\r\n\r\n" + wireBody, "100 200", 1},
		{"100-continue from a web page", wirePost + "Origin: http://evil.example\r\n" +
			"Expect: 100-continue\r\nContent-Length: 29\r\n\r\n", "403", 0},
		{"another expectation", wirePost + "Expect: a-miracle\r\nContent-Length: 29\r\n\r\n" + wireBody, "417", 0},
	})
}

// raw sends bytes as they are, and a well-formed request after them, which must have the last answer or none. It returns the
// status codes of the other answers.
func raw(t *testing.T, addr, request string) (codes []string, err error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, request+"GET /-/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: last\r\nOrigin: "+
		"http://last.example\r\n\r\n")
	in := bufio.NewReader(conn)
	for {
		if _, err := in.Peek(1); err != nil {
			return codes, nil // the connection is over
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return codes, fmt.Errorf("after %d answers: %w", len(codes), err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return codes, fmt.Errorf("answer %d: %w", len(codes)+1, err)
		}
		if res.Header.Get("X-Request-Id") == "last" {
			_, err := in.Peek(1)
			if err != io.EOF {
				return codes, fmt.Errorf("more follows the last answer: %v", err)
			}
			return codes, nil
		}
		codes = append(codes, fmt.Sprint(res.StatusCode))
	}
}
