package eventstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// server is a Roam that answers each request with the same status.
type server struct {
	status int
	kind   string
	lives  time.Duration // of its streams; 0: for ever
	calls  int
}

// pipe is a silent body that ends after lives, or with its request.
type pipe struct {
	ctx   context.Context
	lives time.Duration
}

func (p *pipe) Read([]byte) (int, error) {
	var over <-chan time.Time
	if p.lives > 0 {
		over = time.After(p.lives)
	}
	select {
	case <-over:
		return 0, io.EOF
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
}

func (p *pipe) Close() error { return nil }

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	s.calls++
	res := &http.Response{StatusCode: s.status, Header: http.Header{"Content-Type": {s.kind}, "Allow": {"POST"}}, Request: req}
	if s.kind == "text/event-stream" {
		res.Body = &pipe{req.Context(), s.lives}
	} else {
		res.Body = io.NopCloser(strings.NewReader(`{"ok":false}`))
	}
	return res, nil
}

func newTransport(s *server) *Transport {
	return &Transport{
		Next: s, Streams: New(), Upstream: "org", Tool: func(req *http.Request) string { return req.Header.Get("Tool") },
		Subscribes: func(req *http.Request) bool { return req.Header.Get("Mcp-Method") == "subscriptions/listen" },
	}
}

func get(t *testing.T, rt *Transport, session string) (*http.Response, error) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://roam.example/mcp", nil)
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	return rt.RoundTrip(req)
}

// read reads a stream to its end.
func read(t *testing.T, res *http.Response, err error) error {
	t.Helper()
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// SDKs open a stream again when Roam closes it, immediately or after a second. That costs at most three calls a minute.
func TestAStreamThatKeepsEndingIsReopenedSlowly(t *testing.T) {
	for _, tt := range []struct {
		name         string
		lives, pause time.Duration
	}{
		{"at once", 0, 0}, {"and reopens after a second", 0, time.Second},
		{"after ten seconds", 10 * time.Second, 0}, {"after fifty seconds", 50 * time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				roam := &server{status: 200, kind: "text/event-stream", lives: max(tt.lives, time.Nanosecond)}
				rt := newTransport(roam)
				const minutes = 10
				for start := time.Now(); time.Since(start) < minutes*time.Minute; time.Sleep(tt.pause) {
					res, err := get(t, rt, "s")
					if err := read(t, res, err); err != nil {
						t.Fatal(err)
					}
				}
				if roam.calls > 3*minutes {
					t.Errorf("%d calls in %d minutes, want at most 3 a minute", roam.calls, minutes)
				}
			})
		})
	}
}

func TestWaitsBetweenReopenings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		roam := &server{status: 200, kind: "text/event-stream", lives: time.Nanosecond}
		rt := newTransport(roam)
		for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30} {
			start := time.Now()
			res, err := get(t, rt, "s")
			if got := time.Since(start).Round(time.Second); got != want*time.Second {
				t.Errorf("opening %d waits %v, want %v", i+1, got, want*time.Second)
			}
			read(t, res, err)
		}
		start := time.Now()
		if res, err := get(t, rt, "another"); read(t, res, err) != nil || time.Since(start) > time.Second {
			t.Errorf("another session waits %v, want not at all", time.Since(start))
		}
		roam.lives = time.Hour
		res, err := get(t, rt, "s")
		read(t, res, err)
		roam.lives = time.Nanosecond
		start = time.Now()
		res, err = get(t, rt, "s")
		if got := time.Since(start).Round(time.Second); got != time.Second {
			t.Errorf("after a stream of an hour it waits %v, want 1 s", got)
		}
		read(t, res, err)
	})
}

// If all streams of a tool end at the same time, as at a restart of Roam, that counts as one end.
func TestStreamsThatEndTogetherCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := newTransport(&server{status: 200, kind: "text/event-stream", lives: 2 * time.Minute})
		done := make(chan error)
		for range 12 {
			res, err := get(t, rt, "")
			go func() { done <- read(t, res, err) }()
		}
		for range 12 {
			<-done
		}
		start := time.Now()
		res, err := get(t, rt, "")
		if got := time.Since(start).Round(time.Second); err != nil || got != time.Second {
			t.Errorf("the next opening waits %v (%v), want 1 s", got, err)
		}
		res.Body.Close()
	})
}

func TestAMissingStreamIsRemembered(t *testing.T) {
	for _, tt := range []struct {
		name            string
		status          int
		session, second string // of the first and the second request
		calls           int
	}{
		{"405", 405, "", "", 1},
		{"405 in a session", 405, "a", "b", 1},
		{"404", 404, "", "", 1},
		{"404 of a session that has ended", 404, "a", "b", 2},
		{"404 without a session says nothing of one", 404, "", "a", 2},
		{"500", 500, "", "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				roam := &server{status: tt.status, kind: "application/json"}
				rt := newTransport(roam)
				var last string
				for i, session := range []string{tt.session, tt.second} {
					res, err := get(t, rt, session)
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(res.Body)
					res.Body.Close()
					got := fmt.Sprint(res.StatusCode, res.Header.Get("Allow"), res.Header.Get("Content-Type"), string(body))
					if i > 0 && got != last {
						t.Errorf("then %s, want %s", got, last)
					}
					last = got
				}
				if roam.calls != tt.calls {
					t.Errorf("Roam saw %d calls, want %d", roam.calls, tt.calls)
				}
				roam.status, roam.kind = 200, "text/event-stream"
				time.Sleep(absenceTTL)
				res, err := get(t, rt, "")
				if err != nil || res.StatusCode != 200 {
					t.Fatalf("after %v: %v, %v, want Roam's own answer", absenceTTL, res, err)
				}
				res.Body.Close()
			})
		})
	}
}

func TestDrainEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := newTransport(&server{status: 200, kind: "text/event-stream"})
		ends := make(chan error)
		open, err := get(t, rt, "a")
		go func() { ends <- read(t, open, err) }()
		listen, _ := http.NewRequestWithContext(t.Context(), "POST", "http://roam.example/mcp", nil)
		listen.Header.Set("Mcp-Method", "subscriptions/listen")
		subscription, subscribed := rt.RoundTrip(listen)
		go func() { ends <- read(t, subscription, subscribed) }()
		call, _ := http.NewRequestWithContext(t.Context(), "POST", "http://roam.example/mcp", nil)
		answer, called := rt.RoundTrip(call) // a call, which Drain does not end
		if called != nil {
			t.Fatal(called)
		}
		rt.Streams.noteEnd(strings.Join([]string{"", "GET", "/mcp", "b"}, "\n"), time.Now())
		held := make(chan error)
		go func() {
			res, err := get(t, rt, "b")
			held <- read(t, res, err)
		}()
		synctest.Wait()
		rt.Streams.Drain()
		for range 2 {
			if err := <-ends; err != nil {
				t.Errorf("a stream ends with %v, want to look whole", err)
			}
		}
		if err := <-held; !errors.Is(err, ErrDraining) {
			t.Errorf("one that is not open yet ends with %v, want %v", err, ErrDraining)
		}
		if _, err := get(t, rt, "c"); !errors.Is(err, ErrDraining) {
			t.Errorf("a new one: %v, want %v", err, ErrDraining)
		}
		if answer.Request.Context().Err() != nil {
			t.Error("a call that is answered in events was ended, want it to continue")
		}
		if len(rt.Streams.open) > 0 {
			t.Errorf("%d streams are left, want none", len(rt.Streams.open))
		}
	})
}

func TestAClientThatLeavesWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		roam := &server{status: 200, kind: "text/event-stream", lives: time.Nanosecond}
		rt := newTransport(roam)
		res, err := get(t, rt, "s")
		read(t, res, err)
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://roam.example/mcp", nil)
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Mcp-Session-Id", "s")
		if _, err := rt.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) || roam.calls != 1 {
			t.Errorf("%v after %d calls, want the cause of its context after one", err, roam.calls)
		}
	})
}

func TestReopensAreBounded(t *testing.T) {
	s := New()
	for i := range 2 * maxReopens {
		s.noteEnd(fmt.Sprint(i), time.Now())
	}
	if len(s.reopens) > maxReopens {
		t.Errorf("%d clients are remembered, want at most %d", len(s.reopens), maxReopens)
	}
}
