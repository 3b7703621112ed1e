package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Seen to fail with interim responses that are not passed on; whose fields appear in the final response, or replace its own; with a cookie
// or a hop-by-hop field; and that an HTTP/1.0 tool gets.
func TestInterimResponsesArePassedOn(t *testing.T) {
	roam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusContinue)
		for _, field := range []string{"Link: </x>", "Set-Cookie: a=b", "Connection: X-Hop", "X-Hop: 1", "Access-Control-Allow-Origin: *"} {
			name, value, _ := strings.Cut(field, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(http.StatusEarlyHints)
		clear(w.Header())
		w.WriteHeader(http.StatusProcessing)
		io.WriteString(w, "{}")
	}))
	defer roam.Close()
	base := newTransport(t, 4)
	h := newHarness(t, nil, base, unmetered, func(p *setup) { p.proxy.Upstream = mustParse(roam.URL) })
	addr := servedAt(t, h)
	const passed = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
	for _, step := range []struct{ version, request, interim string }{
		{"HTTP/1.1", "POST /v1/chat.post", passed},
		{"HTTP/1.0", "POST /v1/chat.post", ""},
		{"HTTP/1.1", "GET /v1/group.list", passed},
		{"HTTP/1.1", "GET /v1/group.list", ""}, // a hit
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, step.request+" "+step.version+"\r\nHost: 127.0.0.1\r\nConnection: close\r\nPrefer: wait=5\r\nContent-Length: "+
			"2\r\n\r\n{}")
		got, err := io.ReadAll(conn)
		conn.Close()
		interim, final, _ := strings.Cut(string(got), step.version+" 200 OK\r\n")
		if err != nil || interim != step.interim {
			t.Errorf("%s %s: before the final answer came %q (%v), want %q", step.version, step.request, interim, err, step.interim)
		}
		if !strings.Contains(final, "\r\nPreference-Applied: wait=5\r\n") || strings.Contains(final, "Link:") ||
			!strings.HasSuffix(final, "\r\n\r\n{}") {
			t.Errorf("%s %s: the final answer is %q, want its own fields and no other", step.version, step.request, final)
		}
	}
}

// Seen to fail with any number of interim responses passed on.
func TestInterimAnswersAreBounded(t *testing.T) {
	passed := 0
	early := &interimWriter{p: &Proxy{}, rq: &request{w: headerCounter{httptest.NewRecorder(), &passed},
		r: httptest.NewRequest("POST", "/v1/chat.post", nil)}}
	for range 2 * maxInterim {
		early.pass(http.StatusProcessing, http.Header{})
	}
	if passed != maxInterim {
		t.Errorf("%d interim responses are passed on, want %d", passed, maxInterim)
	}
	late := &interimWriter{p: early.p, rq: early.rq}
	late.end()
	if late.pass(http.StatusProcessing, http.Header{}); passed != maxInterim {
		t.Error("one is passed on after the final response began, want none")
	}
}

// headerCounter counts calls of WriteHeader.
type headerCounter struct {
	http.ResponseWriter
	n *int
}

func (c headerCounter) WriteHeader(int) { *c.n++ }
