package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// breakingUpstream is an upstream whose connections break at one stage of a request. It counts the requests that began to arrive.
type breakingUpstream struct {
	net.Listener
	sends atomic.Int64
	raw   atomic.Pointer[string] // the exact header of the last request
	done  sync.WaitGroup
}

func newBreakingUpstream(t *testing.T) *breakingUpstream {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breakingUpstream{Listener: l}
	b.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.done.Go(func() { b.serve(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { l.Close(); b.done.Wait() })
	return b
}

// serve reads requests of the form METHOD /stage/ending and breaks there; to /fine it answers.
func (b *breakingUpstream) serve(conn *net.TCPConn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := in.Peek(1); err != nil {
			return
		}
		b.sends.Add(1)
		start, _ := in.Peek(min(len("OPTIONS /v1/before.reading/reset"), in.Buffered()))
		if reset := strings.Contains(string(start), "/reset"); strings.Contains(string(start), "/v1/before.") {
			if reset {
				conn.SetLinger(0)
			}
			return
		}
		header := ""
		for line := ""; line != "\r\n"; header += line {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
		}
		b.raw.Store(&header)
		stage, ending := "", ""
		if _, rest, ok := strings.Cut(header, " /v1/break."); ok {
			stage, rest, _ = strings.Cut(rest, "/")
			ending, _, _ = strings.Cut(rest, "?")
		}
		if ending == "reset" {
			conn.SetLinger(0)
		}
		if stage == "header" {
			return
		}
		if _, length, ok := strings.Cut(header, "Content-Length: "); ok {
			n := 0
			fmt.Sscan(length, &n)
			io.CopyN(io.Discard, in, int64(n))
		}
		switch stage {
		case "body":
			return
		case "half-header":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
			return
		case "half-answer":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
}

// At whatever stage a connection breaks, the number of requests that Roam sees equals the tokens that were spent and the calls that were
// counted. For a write that number is one.
//
// Seen to fail with http.NoBody on every call, with an Idempotency-Key in its usual spelling, and with HTTP/2.
func TestEverySendSpendsATokenAndIsCounted(t *testing.T) {
	upstream := newBreakingUpstream(t)
	transport := newTransport(t, 4)
	h := newHarness(t, nil, transport, func(p *setup) {
		p.rate, p.burst = 0.0001, 1e6
		p.proxy.Upstream = mustParse("http://" + upstream.Addr().String())
	})
	writes := 0 // makes each write a different one, because a repeat is not sent
	for _, stage := range []string{"before.reading", "break.header", "break.body", "break.half-header", "break.half-answer"} {
		for _, ending := range []string{"close", "reset"} {
			for _, kept := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/kept=%v", stage, ending, kept), func(t *testing.T) {
					forEachRequest(func(method, body, key string) {
						if method == "HEAD" && stage == "break.half-answer" {
							return // its response has no body to break off
						}
						transport.CloseIdleConnections()
						if kept {
							h.do(t.Context(), "POST", "/v1/fine", "{}")
						}
						writes++
						target := fmt.Sprintf("/v1/%s/%s?write=%d", stage, ending, writes)
						if key != "" {
							key = fmt.Sprintf(`"%s-%d"`, key, writes)
						}
						sends, tokens, counted := upstream.sends.Load(), h.queue.State().Tokens, h.sent
						var header []string
						if key != "" {
							header = []string{"Idempotency-Key", key}
						}
						func() {
							defer func() { recover() }() // net/http's own way to end a response that broke off
							h.do(t.Context(), method, target, body, header...)
						}()
						sent, spent, reported := upstream.sends.Load()-sends, int64(tokens-h.queue.State().Tokens+0.5), int64(h.sent-counted)
						if sent != spent || sent != reported {
							t.Errorf("%s body=%q key=%q: Roam saw %d sends, %d tokens were spent, %d calls counted; want one number",
								method, body, key, sent, spent, reported)
						}
						most := int64(1)
						if method == "GET" || method == "HEAD" {
							most = 2
						}
						if sent < 1 || sent > most {
							t.Errorf("%s body=%q key=%q: sent %d times, want 1 to %d", method, body, key, sent, most)
						}
					})
				})
			}
		}
	}
}

func forEachRequest(do func(method, body, key string)) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} {
		for _, body := range []string{"", "{}"} {
			for _, key := range []string{"", "8e03978e"} {
				do(method, body, key)
			}
		}
	}
}

// Seen to fail with Transfer-Encoding: chunked on every GET.
func TestAReadHasNoBodyAndNoFramingOnTheWire(t *testing.T) {
	upstream := newBreakingUpstream(t)
	transport := newTransport(t, 4)
	h := newHarness(t, nil, transport, unmetered, func(p *setup) { p.proxy.Upstream = mustParse("http://" + upstream.Addr().String()) })
	for _, tt := range []struct {
		name, method, target, body string
		length                     string // of Content-Length on the wire
	}{
		{"a read that may be kept", "GET", "/v1/group.list", "", ""},
		{"one that is passed through", "GET", "/v1/meeting.search", "", ""},
		{"one with a body, which means nothing", "GET", "/v1/meeting.search", "{}", ""},
		{"a HEAD", "HEAD", "/v1/group.list", "", ""},
		{"a HEAD that is passed through", "HEAD", "/v1/meeting.search", "{}", ""},
		{"a write without a body", "POST", "/v1/chat.post", "", "0"},
		{"a write", "POST", "/v1/chat.post", "{}", "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.do(t.Context(), tt.method, tt.target, tt.body)
			raw := *upstream.raw.Load()
			req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			if got := req.Header.Get("Content-Length"); got != tt.length || req.Header.Get("Transfer-Encoding") != "" ||
				strings.Contains(raw, "Transfer-Encoding") {
				t.Errorf("on the wire is %q, want Content-Length %q and no Transfer-Encoding", raw, tt.length)
			}
		})
	}
}
