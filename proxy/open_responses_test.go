package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter/transport"
)

// readSlowly reads rate bytes a second until the connection ends.
func readSlowly(conn net.Conn, rate int) {
	for piece := make([]byte, 4<<10); ; {
		n, err := conn.Read(piece)
		if err != nil {
			return
		}
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
	}
}

// Seen to fail with slots that are held until the response was read: every call of the other tool waited 60 s and was refused.
func TestAToolThatReadsSlowlyDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", 20<<20)
		h := newHarness(t, nil, roundTrips(func(r *http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			if r.URL.Path == "" && strings.HasSuffix(r.URL.Opaque, "export") {
				return reply(r, 200, large), nil
			}
			return reply(r, 200, "{}"), nil
		}), func(p *setup) { p.rate, p.burst = 10, 10 })
		var conns []net.Conn
		for range 30 {
			conn := connected(t, h)
			conns = append(conns, conn)
			fmt.Fprint(conn, "POST /v1/messageevent.export HTTP/1.1\r\nHost: localhost\r\nRoamproxy-Tool: slow\r\nContent-Length: 2\r\n\r\n{}")
			go readSlowly(conn, 75_000)
		}
		time.Sleep(time.Second)
		for range 100 {
			w := h.do(t.Context(), "POST", "/v1/chat.post", "{}", "Roamproxy-Tool", "calm")
			wait, _, _ := strings.Cut(strings.TrimPrefix(w.Header().Get("Server-Timing"), "queue;dur="), ",")
			if ms, err := strconv.Atoi(wait); w.Code != 200 || err != nil || ms > 200 {
				t.Fatalf("%d after %s ms in the queue, want 200 within two calls of 100 ms each", w.Code, wait)
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, conn := range conns {
			conn.Close()
		}
		time.Sleep(time.Minute)
	})
}

// streams is an upstream whose responses end when their reader closes them.
func streams(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Opaque, "/mcp") {
		from, to := io.Pipe()
		res := reply(r, 200, "")
		res.Header.Set("Content-Type", "text/event-stream")
		res.ContentLength = -1
		res.Body = from
		go io.WriteString(to, "data: 1\n\n")
		context.AfterFunc(r.Context(), func() { to.CloseWithError(io.ErrUnexpectedEOF) }) // as net/http breaks a connection off
		return res, nil
	}
	return reply(r, 200, "{}"), nil
}

// openStream opens a stream, and returns its response and a function that closes it.
func openStream(t *testing.T, h http.Handler, tool string) (*http.Response, func()) {
	conn := connected(t, h)
	fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: localhost\r\nRoamproxy-Tool: %s\r\n\r\n", tool)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, res.Body)
	return res, func() { conn.Close() }
}

func TestOpenResponsesAreBoundedAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := transport.NewOpenResponses(4)
		h := newHarness(t, nil, roundTrips(streams), unmetered, func(p *setup) { p.open = open })
		var ends []func()
		for i := range 4 {
			res, end := openStream(t, h, "greedy")
			ends = append(ends, end)
			if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
				t.Fatalf("stream %d: %s %v, want 200 with events", i+1, res.Status, res.Header)
			}
		}
		before := h.queue.State().Tokens
		res, end := openStream(t, h, "greedy")
		end()
		after, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != 429 || res.Header.Get("Roamproxy-Error") != "too_many_open" || err != nil || after < 1 {
			t.Errorf("one more: %s %v, want 429 too_many_open with a Retry-After", res.Status, res.Header)
		}
		if got := h.queue.State(); got.Tokens < before || got.InFlight != 0 {
			t.Errorf("%v tokens and %d slots, want %v and none: it was not sent", got.Tokens, got.InFlight, before)
		}
		for range 2 {
			res, end := openStream(t, h, "other")
			ends = append(ends, end)
			if res.StatusCode != 200 {
				t.Errorf("another tool: %s, want 200", res.Status)
			}
		}
		if got := open.Open(); got["greedy"] != 4 || got["other"] != 2 || len(open.Calls()) != 0 {
			t.Errorf("open are %v, and %v without a header; want 4 and 2, and none", got, open.Calls())
		}
		time.Sleep(time.Hour) // a silent stream stays open
		if got := open.Open(); got["greedy"] != 4 {
			t.Errorf("after an hour open are %v, want 4 of greedy", got)
		}
		for _, end := range ends {
			end()
		}
		synctest.Wait()
		if got := open.Open(); len(got) != 0 {
			t.Errorf("at the end open are %v, want none", got)
		}
		if got := h.post(t.Context()); got != 200 {
			t.Errorf("the next call: %d, want 200", got)
		}
	})
}
