package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The wait of a queued call is reported however the call ends: to the log and /api/calls/ID, and in Server-Timing if the tool is still
// connected.
//
// Seen to fail with a wait of 0 for a read whose tool left, and for one that waited for another's call.
func TestAWaitIsReportedHoweverItEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		prefer string // how long the tool would wait
		end    func(h *harness, throttle, leave func())
		status int
		code   Code
		wait   time.Duration
	}{
		{"sent", "60", func(*harness, func(), func()) {}, 200, "", 10 * time.Second},
		{"abandoned", "60", func(_ *harness, _, leave func()) { time.Sleep(3 * time.Second); leave() }, 499, "canceled", 3 * time.Second},
		{"interrupted by the end of the process", "60", func(h *harness, _, _ func()) { time.Sleep(4 * time.Second); h.queue.Close() }, 503,
			"shutting_down", 4 * time.Second},
		{"refused when Roam asks for a pause", "20", func(_ *harness, throttle, _ func()) { throttle() }, 429, "paused", 20 * time.Second},
	} {
		for _, way := range []struct{ name, method, path string }{
			{"passed through", "POST", "/v1/chat.post"}, {"passed through", "GET", "/v1/meeting.search"}, {"cached", "GET", "/v1/group.list"},
			{"a HEAD", "HEAD", "/v1/group.list"},
			{"shared", "GET", "/v1/group.list"},
		} {
			inBubble(t, tt.name+", "+way.name+" "+way.method, func(t *testing.T) {
				var throttled atomic.Bool
				e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
					if throttled.Load() {
						return reply(r, 429, "", "Retry-After", "60"), nil
					}
					return reply(r, 200, `{"ok":true}`), nil
				}}
				h := newHarness(t, nil, e, func(p *setup) { p.rate, p.burst = 0.1, 1 })
				h.do(t.Context(), "POST", "/v1/chat.post", "") // takes the only token; the next one is there in 10 s
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				header := []string{"Prefer", "wait=" + tt.prefer, "X-Request-Id", "it"}
				var all sync.WaitGroup
				if way.name == "shared" {
					all.Go(func() { h.do(t.Context(), way.method, way.path, "", "Prefer", "wait="+tt.prefer) })
					synctest.Wait()
				}
				var timing string
				all.Go(func() {
					w := h.do(ctx, way.method, way.path, "", header...)
					timing = w.Header().Get("Server-Timing")
				})
				synctest.Wait()
				tt.end(h, func() { throttled.Store(true) }, cancel)
				all.Wait()
				for _, report := range h.reports {
					if report.ID != "it" {
						continue
					}
					if report.Status != tt.status || report.Code != tt.code || report.Queue.Round(time.Second) != tt.wait {
						t.Errorf("%d %q after a wait of %v, want %d %q after %v", report.Status, report.Code, report.Queue, tt.status, tt.code, tt.wait)
					}
					if report.Status != 499 && !strings.Contains(timing, fmt.Sprintf("queue;dur=%d", report.Queue.Milliseconds())) {
						t.Errorf("Server-Timing: %s, want a queue of %v", timing, report.Queue)
					}
				}
			})
		}
	}
}
