package transport_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// Each time that a call is sent it costs a token, also when a kept connection dies: net/http may not send one again by itself. And
// none gets a body that it did not have.
//
// Seen to fail with http.NoBody for every method.
func TestACallWithoutABodyOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		method, framing string
		attempts        int // of a call whose kept connection ends
	}{
		{"GET", "", 2},
		{"HEAD", "", 2},
		{"OPTIONS", "", 1},
		{"DELETE", "", 1},
		{"POST", "Content-Length: 0", 1},
	} {
		t.Run(tt.method, func(t *testing.T) {
			heads := make(chan string, 10)
			l := listening(t, heads)
			local, _ := limiter.NewLocal(1, 10, 0)
			queue := limiter.New(limiter.Options{Bucket: local})
			network := &http.Transport{DisableCompression: true}
			rt := &transport.RoundTripper{Next: network, Queue: queue, Bodies: transport.NewBodies(0, "")}
			call := func() *transport.Call {
				made := from("bot")
				req, _ := http.NewRequestWithContext(transport.WithCall(t.Context(), made), tt.method, "http://"+l, nil)
				if res, err := rt.RoundTrip(req); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				return made
			}
			call()
			if got := call().Attempts; got != tt.attempts || len(heads) != 1+got {
				t.Errorf("%d attempts and %d calls on the wire after the first, want %d of each", got, len(heads)-1, tt.attempts)
			}
			for head := range strings.SplitSeq(<-heads, "\r\n") {
				if name, _, _ := strings.Cut(head, ":"); (name == "Content-Length" || name == "Transfer-Encoding") && head != tt.framing {
					t.Errorf("went out with %q, want %q", head, tt.framing)
				}
			}
			network.CloseIdleConnections()
			queue.Close()
		})
	}
}

// listening answers the first call of each connection, and ends it at the second.
func listening(t *testing.T, heads chan<- string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				from := bufio.NewReader(conn)
				for first := true; ; first = false {
					var head strings.Builder
					for !strings.HasSuffix(head.String(), "\r\n\r\n") {
						line, err := from.ReadString('\n')
						if err != nil {
							return
						}
						head.WriteString(line)
					}
					heads <- head.String()
					if !first {
						return
					}
					io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			}()
		}
	}()
	return l.Addr().String()
}
