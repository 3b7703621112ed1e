package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strconv"
	"strings"
	"testing"
	"time"

	"roamproxy/limiter"
)

// served is the address of h on a server.
func served(t testing.TB, h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

// halting is a body that comes in two pieces, and may break off between them.
type halting struct {
	pieces [][]byte
	cut    error
}

func (h *halting) Read(p []byte) (int, error) {
	if len(h.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.pieces[0])
	if h.pieces[0] = h.pieces[0][n:]; len(h.pieces[0]) == 0 {
		if h.pieces = h.pieces[1:]; len(h.pieces) > 0 && h.cut != nil {
			return n, h.cut
		}
	}
	return n, nil
}
func (h *halting) Close() error { return nil }

// What comes is the same for every size, on one connection, and a cut answer does not look whole.
func TestPassedAnswersOfAllSizes(t *testing.T) {
	answers := make(chan *http.Response, 1)
	h := build(t, nil, &echo{answer: func(r *http.Request) (*http.Response, error) {
		res := <-answers
		res.Request = r
		return res, nil
	}}, unmetered)
	base := served(t, h)
	client := &http.Client{Timeout: 10 * time.Second} // should a header wait for ever
	for _, size := range []int{0, 1, 1 << 10, 4 << 10, 8 << 10, 16 << 10, copySize, copySize + 1, 1 << 20} {
		for _, cut := range []error{nil, errors.New("reset")} {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			answer := reply(nil, 200, "")
			answer.ContentLength, answer.Body = int64(size), &halting{[][]byte{body[:size/2], body[size/2:]}, cut}
			answers <- answer
			res, err := client.Post(base+"/v1/chat.post", "application/json", strings.NewReader(fmt.Sprintf(`{"text":"%d %v"}`, size, cut)))
			if err != nil {
				if cut == nil || size > 8<<10 {
					t.Errorf("%d bytes, cut by %v: %v", size, cut, err)
				}
				continue
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			switch {
			case cut == nil && (err != nil || !bytes.Equal(got, body)):
				t.Errorf("%d of %d bytes came, with %v", len(got), size, err)
			case cut != nil && size > 1 && err == nil:
				t.Errorf("%d of %d bytes came, and look whole", len(got), size)
			}
		}
		answer := reply(nil, 200, "", "Content-Length", strconv.Itoa(size))
		answer.ContentLength = int64(size)
		answers <- answer
		res, err := client.Head(base + "/v1/meeting.search")
		if err != nil || res.ContentLength != int64(size) {
			t.Errorf("a HEAD of %d bytes: %v, %v", size, res, err)
		}
	}
}

// What a call passed through costs besides the network: with a state file, and a token that is free.
func BenchmarkPassed(b *testing.B) {
	body := strings.Repeat("x", 16<<10)
	upstream := &network{answer: func(r *http.Request) *http.Response {
		res := reply(r, 200, "")
		res.Body, res.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		return res
	}}
	h := build(b, nil, upstream, func(p *plan) {
		p.rate, p.burst, p.state = 1e6, 1000, limiter.OpenState(stateDir(b, b.TempDir()), "roam")
	})
	h.o.Observer = nobody{}
	r := httptest.NewRequestWithContext(b.Context(), "GET", "/v1/meeting.search", nil)
	r.Host, r.Header = "127.0.0.1:8080", http.Header{"User-Agent": {"bot/1"}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate"}, "Roamproxy-Tool": {"bot"}}
	q := &quiet{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(q.header)
		h.ServeHTTP(q, r)
	}
	if q.status != 200 || q.header.Get("Cache-Status") != "roamproxy; fwd=bypass" {
		b.Fatal(q.status, q.header)
	}
}

// network tells what net/http's Transport would of a call on a connection that is there.
type network struct {
	answer func(*http.Request) *http.Response
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GotConn(httptrace.GotConnInfo{Reused: true})
	trace.WroteRequest(httptrace.WroteRequestInfo{})
	trace.GotFirstResponseByte()
	return n.answer(r), nil
}
