package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
)

const listens = "application/json, text/event-stream"

// eventsOf answers with an event stream of these pieces, a minute apart.
func eventsOf(pieces ...string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		r, w := io.Pipe()
		context.AfterFunc(req.Context(), func() { w.CloseWithError(req.Context().Err()) })
		go func() {
			for i, piece := range pieces {
				if i > 0 {
					time.Sleep(time.Minute)
				}
				io.WriteString(w, piece)
			}
			w.Close()
		}()
		res := reply(req, 200, "", "Content-Type", "text/event-stream", "Mcp-Session-Id", "s-1")
		res.Header.Set("Content-Type", "text/event-stream")
		res.Body, res.ContentLength = r, -1
		return res, nil
	}
}

// An event stream that is silent for a minute stays open, gets keep-alive comments, and loses no event.
func TestAnEventStreamPassesWithComments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &recordingUpstream{answer: eventsOf("id: 1\ndata: a\n\n", "data: b\n\n")}
		h := newHarness(t, nil, e, unmetered, func(p *setup) {
			p.proxy.Tables.Rules = []Rule{{Match: "GET /*", TTL: new(time.Minute)}} // a stream must not be cached all the same
		})
		w := h.do(t.Context(), "GET", "/mcp", "", "Accept", listens, "Accept-Encoding", "gzip", "Last-Event-ID", "0", "Mcp-Session-Id", "s-1",
			"Mcp-Protocol-Version", "2025-11-25")
		const comment = ": keep-alive\n\n"
		if want := "id: 1\ndata: a\n\n" + comment + comment + "data: b\n\n"; w.Body.String() != want {
			t.Errorf("the tool reads %q, want %q", w.Body, want)
		}
		if !w.Flushed || w.Header().Get("Mcp-Session-Id") != "s-1" {
			t.Errorf("flushed: %v, header %v; want it flushed, with the session", w.Flushed, w.Header())
		}
		for name, want := range map[string]string{"Accept": listens, "Accept-Encoding": "", "Last-Event-Id": "0", "Mcp-Session-Id": "s-1",
			"Mcp-Protocol-Version": "2025-11-25"} {
			if got := e.req.Header.Get(name); got != want {
				t.Errorf("Roam gets %s: %q, want %q", name, got, want)
			}
		}
	})
}

// SDKs open a stream again when Roam offers none, or closes it. That costs a bounded number of calls in ten minutes.
func TestStreamsThatEndAreReopenedWithFewCalls(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		status int
		most   int // calls in ten minutes
	}{
		{"Roam offers none", func(req *http.Request) (*http.Response, error) { return reply(req, 405, "{}", "Allow", "POST"), nil }, 405, 1},
		{"Roam closes it at once", eventsOf(), 200, 30},
		{"Roam closes it after an event", eventsOf("data: a\n\n"), 200, 30},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			e := &recordingUpstream{answer: tt.answer}
			h := newHarness(t, nil, e, unmetered, func(p *setup) { p.queue = limiter.Options{MaxWait: time.Minute} })
			for start := time.Now(); time.Since(start) < 10*time.Minute-time.Second; time.Sleep(time.Second) {
				if w := h.do(t.Context(), "GET", "/mcp", "", "Accept", "text/event-stream", "Mcp-Session-Id", "s-1"); w.Code != tt.status {
					t.Fatalf("answered %d %s, want %d", w.Code, w.Body, tt.status)
				}
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.sent > tt.most {
				t.Errorf("%d calls in ten minutes, want at most %d", h.sent, tt.most)
			}
		})
	}
}

// At shutdown an open stream ends, a new one is refused as any call is, and a call that is answered in events is finished.
func TestShutdownEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &recordingUpstream{answer: eventsOf("data: a\n\n", "data: b\n\n")}
		h := newHarness(t, nil, e, unmetered)
		over := make(chan string)
		go func() {
			w := h.do(t.Context(), "GET", "/mcp", "", "Accept", "text/event-stream")
			over <- w.Body.String()
		}()
		go func() {
			w := h.do(t.Context(), "POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"reaction_add"}}`, "Accept",
				listens)
			over <- "call: " + w.Body.String()
		}()
		time.Sleep(time.Second)
		h.o.Streams.Drain()
		if got := <-over; got != "data: a\n\n" {
			t.Errorf("the stream gave %q, want its first event", got)
		}
		w := h.do(t.Context(), "GET", "/mcp", "", "Accept", "text/event-stream")
		if w.Code != 503 || w.Header().Get("Roamproxy-Error") != "shutting_down" || w.Header().Get("Retry-After") == "" {
			t.Errorf("a new stream: %d %v, want 503 shutting_down with a Retry-After", w.Code, w.Header())
		}
		if got := <-over; !strings.HasSuffix(got, "data: b\n\n") {
			t.Errorf("%q, want it whole: a call drains", got)
		}
	})
}

// A tool that leaves ends its stream at Roam, also while nothing comes.
func TestAStreamEndsWithItsTool(t *testing.T) {
	gone := make(chan struct{})
	e := &recordingUpstream{answer: func(req *http.Request) (*http.Response, error) {
		res, err := eventsOf("data: a\n\n")(req)
		r, w := io.Pipe()
		go func() { <-req.Context().Done(); w.CloseWithError(req.Context().Err()); close(gone) }()
		res.Body = r
		return res, err
	}}
	h := newHarness(t, nil, e, unmetered)
	base := served(t, h)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", base+"/mcp", nil)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the stream is open at Roam after 20 s, want it closed")
	}
}
