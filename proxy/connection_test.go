package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/roamtest"
)

// pipes is a listener without sockets, so that connections live in simulated time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// connected serves h on one connection.
func connected(t *testing.T, h http.Handler) net.Conn {
	l := &pipes{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	ours, theirs := net.Pipe()
	l.conns <- theirs
	t.Cleanup(func() {
		ours.Close()
		close(l.done)
		server.Close()
	})
	return ours
}

// A deadline of one answer must not be that of the next, on a connection that stays.
func TestAConnectionOutlivesItsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := connected(t, build(t, roamtest.New(roamtest.Options{}), nil))
		in := bufio.NewReader(conn)
		for i, request := range []string{
			"GET /v1/groups.list HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"GET /v1/groups.list HTTP/1.1\r\nHost: evil.example\r\n\r\n",
			"POST /v1/chat.post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n\r\n{\"chat\":\"C-1\"}",
			"POST /v1/group.rename HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
			"GET /v1/groups.list HTTP/1.1\r\nHost: localhost\r\n\r\n",
		} {
			go io.Copy(conn, strings.NewReader(request))
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("request %d, %v after the first: %v", i+1, time.Duration(i)*2*patience, err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			time.Sleep(2 * patience)
		}
	})
}

// A tool that asks for a long answer and does not read it must not hold a slot for ever.
func TestAToolThatDoesNotReadFreesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &echo{answer: func(r *http.Request) (*http.Response, error) { return reply(r, 200, strings.Repeat("x", 10<<20)), nil }}
		h := build(t, nil, e)
		conn := connected(t, h)
		fmt.Fprint(conn, "POST /v1/chat.post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
		synctest.Wait()
		if got := h.queue.State().InFlight; got != 1 {
			t.Errorf("%d calls are under way, want 1", got)
		}
		time.Sleep(patience + time.Second)
		if got := h.queue.State().InFlight; got != 0 {
			t.Errorf("after %v without reading %d calls are under way, want none", patience, got)
		}
	})
}

// Nor may one that sends its body drop by drop, or not at all: it has no place in the line yet.
func TestAToolThatDoesNotSendIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, nil, &echo{})
		conn := connected(t, h)
		fmt.Fprint(conn, "POST /v1/chat.post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{")
		start := time.Now()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 400 || time.Since(start) != patience {
			t.Errorf("%s after %v, want 400 after %v", res.Status, time.Since(start), patience)
		}
	})
}
