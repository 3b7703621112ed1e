package proxy

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/roamtest"
)

func TestEveryAnswerHasARequestID(t *testing.T) {
	e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, `{"ok":true}`, "X-Request-Id", "roams-own"), nil
	}}
	h := newHarness(t, nil, e, unmetered)
	for _, tt := range []struct {
		name   string
		header []string
		want   string // empty: one that we make
	}{
		{"the tool's own", []string{"X-Request-Id", "req-1/a.b:c_d+e=@"}, "req-1/a.b:c_d+e=@"},
		{"none", nil, ""},
		{"an empty one", []string{"X-Request-Id", ""}, ""},
		{"one with a space", []string{"X-Request-Id", "a b"}, ""},
		{"one with a line break", []string{"X-Request-Id", "a\nb"}, ""},
		{"one beyond ASCII", []string{"X-Request-Id", "é"}, ""},
		{"the longest", []string{"X-Request-Id", strings.Repeat("x", maxID)}, strings.Repeat("x", maxID)},
		{"one too long", []string{"X-Request-Id", strings.Repeat("x", maxID+1)}, ""},
		{"two", []string{"X-Request-Id", "a", "X-Request-Id", "b"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, target := range []string{"/v1/groups.list", "/v1/meeting.transcript", "//refused"} {
				w := h.do(t.Context(), "GET", target, "", tt.header...)
				got := w.Header()["X-Request-Id"]
				if len(got) != 1 || got[0] != h.last().ID {
					t.Errorf("%s: the answer has %q, the report %q; want one id in both", target, got, h.last().ID)
					continue
				}
				if tt.want != "" && got[0] != tt.want || tt.want == "" && (len(got[0]) != 26 || len(tt.header) > 1 && got[0] == tt.header[1]) {
					t.Errorf("%s: id %q, want %q", target, got[0], tt.want)
				}
			}
		})
	}
}

func TestTheReportHasRoamsRequestID(t *testing.T) {
	e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, `{"ok":true}`, "X-Request-Id", "roams-own"), nil
	}}
	h := newHarness(t, nil, e, unmetered)
	for _, tt := range []struct{ name, target, want string }{
		{"a call", "/v1/groups.list", "roams-own"},
		{"a hit, which Roam never saw", "/v1/groups.list", ""},
		{"a stream", "/v1/meeting.transcript", "roams-own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.do(t.Context(), "GET", tt.target, "")
			if got := h.last().RoamID; got != tt.want {
				t.Errorf("Roam's id is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAReportHasTheAttemptsOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{}), nil)
		h.roam.Script(roamtest.Throttle("2"))
		start := time.Now()
		h.do(t.Context(), "GET", "/v1/groups.list", "")
		if report := h.last(); report.Attempts != 2 || report.Queue != time.Since(start) {
			t.Errorf("after one 429: %d attempts and %v in the queue, want 2 and %v", report.Attempts, report.Queue, time.Since(start))
		}
		h.do(t.Context(), "GET", "/v1/groups.list", "")
		if report := h.last(); report.Attempts != 0 {
			t.Errorf("a hit was sent %d times, want never", report.Attempts)
		}
		if h.post(t.Context()); h.last().Attempts != 1 {
			t.Errorf("a write was sent %d times, want once", h.last().Attempts)
		}
		h.roam.Script(roamtest.Hang())
		if status := h.post(t.Context()); status != 504 || h.last().Attempts != 1 || h.last().Upstream != 30*time.Second {
			t.Errorf("a write that Roam leaves without an answer: %d after %d attempts and %v, want 504, one and 30 s", status, h.last().Attempts,
				h.last().Upstream)
		}
	})
}
