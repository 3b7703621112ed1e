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

// What tools should not send, and what two servers might read in two ways. Whatever it is: one answer to one request, one call
// for one request, and no byte for Roam that is not plain text. Where the connection goes on, it is in step: a last request gets
// its own answer.
//
// Seen to fail without the "Connection: close" of HTTP/1.0 (two answers), with Expect forwarded (two times 100), and with the path
// forwarded decoded (an encoded line end fails then).
func TestBadToolsOnTheWire(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{Rate: 1000, Burst: 1000})
	defer roam.Close()
	wire := faultnet.New(t, strings.TrimPrefix(roam.URL, "http://"))
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
		c.Upstream.URL = "http://" + wire.Addr
		c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].Jitter = 1000, 1000, 0
	})
	const post, host = "POST /v1/chat.post HTTP/1.1\r\nHost: localhost\r\n", "Host: localhost\r\n"
	const said = `{"chat":"C-1","text":"hello"}` // 29 bytes, 1d in hexadecimal
	const chunks = "1d\r\n" + said + "\r\n0\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		answers       string // their status codes, in order; "" is none
		calls         int    // that Roam sees
	}{
		// Lines.
		{"a header field over two lines", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "X-Note: one\r\n two\r\n\r\n", "200", 1},
		{"a first header field that begins with a space", "GET /v1/meeting.search HTTP/1.1\r\n Host: localhost\r\nX: y\r\n\r\n", "400", 0},
		{"a folded length", post + "Content-Length:\r\n 29\r\n\r\n" + said, "200", 1},
		{"lines that end in LF alone", "GET /v1/meeting.search HTTP/1.1\nHost: localhost\n\n", "200", 1},
		{"lines that end in CR alone", "GET /v1/meeting.search HTTP/1.1\rHost: localhost\r\r", "400", 0},
		{"a CR within a value", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n", "400", 0},
		{"a NUL within a value", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", "400", 0},
		{"a NUL within a name", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "X\x00: a\r\n\r\n", "400", 0},
		{"a DEL within a value", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "X: a\x7fb\r\n\r\n", "400", 0},
		{"a NUL within the path", "GET /v1/token\x00info HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a NUL within the query", "GET /v1/meeting.search?a=\x00 HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"an encoded line end in the path", "GET /v1/meeting.search%0d%0aX:%20y HTTP/1.1\r\n" + host + "\r\n", "404", 1},
		{"an encoded line end in the query", "GET /v1/meeting.search?a=%0d%0aX:%20y HTTP/1.1\r\n" + host + "\r\n", "200", 1},
		{"a NUL within the method", "GE\x00T /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a space before the colon", post + "Content-Length : 29\r\n\r\n" + said, "400", 0},
		{"a line without a colon", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", "400", 0},
		{"an empty name", "GET /v1/meeting.search HTTP/1.1\r\n" + host + ": x\r\n\r\n", "400", 0},
		{"an empty line first", "\r\nGET /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"two spaces in the first line", "GET  /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a space within the path", "GET /v1/meeting.search x HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"HTTP/0.9", "GET /v1/meeting.search\r\n\r\n", "400", 0},
		{"HTTP/1.2, which is read as 1.1", "GET /v1/meeting.search HTTP/1.2\r\n" + host + "\r\n", "200", 1},
		{"HTTP/3.0", "GET /v1/meeting.search HTTP/3.0\r\n" + host + "\r\n", "505", 0},
		{"HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", 0},
		{"a hello of TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", "400", 0},
		{"a header of a megabyte", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "431", 0},
		// Hosts.
		{"no Host", "GET /v1/meeting.search HTTP/1.1\r\n\r\n", "400", 0},
		{"two Hosts", "GET /v1/meeting.search HTTP/1.1\r\n" + host + host + "\r\n", "400", 0},
		{"a Host with a path", "GET /v1/meeting.search HTTP/1.1\r\nHost: localhost/evil\r\n\r\n", "400", 0},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\n" + host + "\r\n", "501", 0},
		{"an absolute target", "GET http://evil.example/v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"the star", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"the star of a page", "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421", 0},
		// Lengths.
		{"two equal lengths", post + "Content-Length: 29\r\nContent-Length: 29\r\n\r\n" + said, "200", 1},
		{"two lengths", post + "Content-Length: 29\r\nContent-Length: 2\r\n\r\n" + said, "400", 0},
		{"two lengths in one field", post + "Content-Length: 29, 29\r\n\r\n" + said, "400", 0},
		{"a negative length", post + "Content-Length: -1\r\n\r\n", "400", 0},
		{"a length with a sign", post + "Content-Length: +29\r\n\r\n" + said, "400", 0},
		{"a length in hexadecimal", post + "Content-Length: 0x1d\r\n\r\n" + said, "400", 0},
		{"a length beyond all bounds", post + "Content-Length: 99999999999999999999\r\n\r\n" + said, "400", 0},
		{"a length and chunks", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "200", 1},
		{"chunks and a length of a request within", post + "Content-Length: 120\r\nTransfer-Encoding: chunked\r\n\r\n" + "0\r\n\r\n", "400", 1},
		{"a request behind chunks and a length", post + "Content-Length: 46\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", 1},
		{"a request behind a folded coding", post + "Content-Length: 46\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + chunks + "GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", 1},
		// Transfer codings.
		{"chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + chunks, "200", 1},
		{"chunks in capitals", post + "Transfer-Encoding: CHUNKED\r\n\r\n" + chunks, "200", 1},
		{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "501", 0},
		{"chunked, chunked", post + "Transfer-Encoding: chunked, chunked\r\n\r\n" + chunks, "501", 0},
		{"a coding that is not chunked", post + "Transfer-Encoding: xchunked\r\n\r\n" + chunks, "501", 0},
		{"gzip, then chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks, "501", 0},
		{"identity", post + "Transfer-Encoding: identity\r\nContent-Length: 29\r\n\r\n" + said, "501", 0},
		{"a coding background a tab", post + "Transfer-Encoding:\tchunked\r\n\r\n" + chunks, "200", 1},
		{"a coding background a vertical tab", post + "Transfer-Encoding: \vchunked\r\n\r\n" + chunks, "400", 0},
		{"a coding in a folded line", post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks, "200", 1},
		{"an underscore for the hyphen", post + "Transfer_Encoding: chunked\r\nContent-Length: 29\r\n\r\n" + said, "200", 1},
		{"no coding", post + "Transfer-Encoding:\r\n\r\n" + chunks, "501", 0},
		// Chunks.
		{"a chunk beyond 64 bits", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + said, "400", 0},
		{"a chunk of almost all of memory", post + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n" + strings.Repeat("x", 12<<20), "413", 0},
		{"a negative chunk", post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + said, "400", 0},
		{"a chunk with a 0x", post + "Transfer-Encoding: chunked\r\n\r\n0x1d\r\n" + said + "\r\n0\r\n\r\n", "400", 0},
		{"a chunk without a size", post + "Transfer-Encoding: chunked\r\n\r\n\r\n" + said + "\r\n0\r\n\r\n", "400", 0},
		{"a chunk that is longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n2\r\n" + said + "\r\n0\r\n\r\n", "400", 0},
		{"a chunk with an extension", post + "Transfer-Encoding: chunked\r\n\r\n1d;x=y\r\n" + said + "\r\n0\r\n\r\n", "200", 1},
		{"an extension that does not end", post + "Transfer-Encoding: chunked\r\n\r\n1d;" + strings.Repeat("x", 1<<16) + "\r\n" + said + "\r\n0\r\n\r\n", "400", 0},
		{"chunks of one byte, each with an extension", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 100)+"\r\nx\r\n", 1000) + "0\r\n\r\n", "400", 0},
		{"chunks of LF alone", post + "Transfer-Encoding: chunked\r\n\r\n1d\n" + said + "\n0\n\n", "400", 0},
		{"a trailer", post + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1d\r\n" + said + "\r\n0\r\nX-Sum: 1\r\n\r\n", "200", 1},
		{"a trailer with a credential", post + "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n1d\r\n" + said + "\r\n0\r\nAuthorization: x\r\n\r\n", "200", 1},
		{"a trailer with a NUL", post + "Transfer-Encoding: chunked\r\n\r\n1d\r\n" + said + "\r\n0\r\nX: \x00\r\n\r\n", "400", 0},
		// HTTP/1.0.
		{"HTTP/1.0 that wants to stay", "GET /v1/meeting.search HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n", "200", 1},
		{"HTTP/1.0 with chunks that wants to stay", "POST /v1/chat.post HTTP/1.0\r\n" + host + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "400", 1},
		// Several at once.
		{"two at once", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n" + "GET /v1/nothing HTTP/1.1\r\n" + host + "\r\n", "200 404", 2},
		{"a write and a read at once", post + "Content-Length: 29\r\n\r\n" + said + "GET /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "200 200", 2},
		{"a read with a body that looks like a request", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "Content-Length: 43\r\n\r\nGET /v1/other.x HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 400", 1},
		{"one that is refused, and one behind it", "GET /v1/meeting.search HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "421 200", 1},
		{"an upgrade, and a call behind it", "GET /v1/meeting.search HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nGET /v1/meeting.search HTTP/1.1\r\n" + host + "\r\n", "200 200", 2},
		// Expectations.
		{"100-continue", post + "Expect: 100-continue\r\nContent-Length: 29\r\n\r\n" + said, "100 200", 1},
		{"100-continue of a page", post + "Origin: http://evil.example\r\nExpect: 100-continue\r\nContent-Length: 29\r\n\r\n", "403", 0},
		{"another expectation", post + "Expect: a-miracle\r\nContent-Length: 29\r\n\r\n" + said, "417", 0},
	} {
		calls := roam.Calls()
		wire.Sent()
		answers, err := raw(t, r.Addr, tt.request)
		if err != nil || strings.Join(answers, " ") != tt.answers || roam.Calls()-calls != tt.calls {
			t.Errorf("%s: answered %q and %d calls (%v); want %q and %d", tt.name, answers, roam.Calls()-calls, err, tt.answers, tt.calls)
		}
		if i := bytes.IndexFunc(bytes.ReplaceAll(wire.Sent(), []byte("\r\n"), nil), func(c rune) bool { return c < ' ' || c == 0x7f }); i >= 0 {
			t.Errorf("%s: a control byte went to Roam", tt.name)
		}
	}
}

// raw sends bytes as they are, and a well-formed request after them, which must have the last answer or none. It tells the
// status codes of the others.
func raw(t *testing.T, addr, request string) (codes []string, err error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, request+"GET /-/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: last\r\nOrigin: http://last.example\r\n\r\n")
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
				return codes, fmt.Errorf("more comes after the last answer: %v", err)
			}
			return codes, nil
		}
		codes = append(codes, fmt.Sprint(res.StatusCode))
	}
}
