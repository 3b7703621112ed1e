package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Hits of all sizes arrive complete on one connection, also around the sizes of net/http's buffers.
//
// Seen to fail if the first piece of a small body is kept, too, and is not flushed.
func TestHitsOfAllSizesOnOneConnection(t *testing.T) {
	size := 0
	h := newHarness(t, nil, &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, strings.Repeat("0123456789abcdef", size/16+1)[:size], "Content-Type", "text/plain"), nil
	}}, unmetered)
	conn, err := net.Dial("tcp", servedToTools(t, h))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	sizes := []int{0, 1, 1 << 10, 1 << 20}
	for around := 1; around <= 4; around++ {
		for off := -700; off <= 100; off += 50 { // a header has some 400 bytes
			sizes = append(sizes, around*writeBuffer+off)
		}
		sizes = append(sizes, around*writeBuffer-1, around*writeBuffer+1)
	}
	for _, size = range sizes {
		for _, method := range []string{"GET", "GET", "HEAD"} { // a miss, a hit, and one without a body
			fmt.Fprintf(conn, "%s /v1/groups.list?size=%d HTTP/1.1\r\nHost: localhost\r\n\r\n", method, size)
			res, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%s of %d bytes: %v, want an answer", method, size, err)
			}
			body, err := io.ReadAll(res.Body)
			want := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			if method == "HEAD" {
				want = ""
			}
			if err != nil || string(body) != want || res.ContentLength != int64(size) {
				t.Fatalf("%s of %d bytes: %d came of a Content-Length of %d, with %v; want all of the body",
					method, size, len(body), res.ContentLength, err)
			}
		}
	}
}

// bufferConn is a connection that keeps what is written, and that can fail.
type bufferConn struct {
	net.Conn
	bytes.Buffer
	fails, closed bool
}

func (c *bufferConn) Read(p []byte) (int, error) { return c.Buffer.Read(p) }
func (c *bufferConn) Close() error               { c.closed = true; return nil }
func (c *bufferConn) Write(p []byte) (int, error) {
	if c.fails {
		return 0, errors.New("reset")
	}
	return c.Buffer.Write(p)
}

// In any order of kept pieces and flushes, the bytes are written in order and once. A lost piece closes the connection or is an error.
//
// Seen to fail with a piece that is not copied, and with a second one kept over the first.
func TestAToolConnKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := &bufferConn{}
		c := &toolConn{Conn: out}
		var want []byte
		failed := false
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				c.keepNext()
			case 1:
				c.flush()
			default:
				p := rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "piece")
				want = append(want, p...)
				n, err := c.Write(p)
				if failed = failed || err != nil; err == nil && n != len(p) {
					t.Fatalf("wrote %d of %d bytes without an error, want all", n, len(p))
				}
				clear(p) // its owner uses it again
			}
			out.fails = rapid.IntRange(0, 9).Draw(t, "fails") == 0
			if failed || out.closed {
				return
			}
		}
		out.fails = false
		c.flush()
		if got := out.Bytes(); !bytes.Equal(got, want) && !out.closed {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
