package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

// newSearchHarness returns a harness that caches POST /v1/chat.search, and the number of calls to Roam.
func newSearchHarness(t *testing.T) (*harness, *int) {
	calls := 0
	e := &recordingUpstream{}
	e.answer = func(r *http.Request) (*http.Response, error) {
		calls++
		return reply(r, 200, fmt.Sprintf(`{"ok":true,"call":%d,"asked":%q}`, calls, e.body)), nil
	}
	return newHarness(t, nil, e, unmetered, func(p *setup) {
		p.proxy.Tables.Rules = []Rule{{Match: "POST /v1/chat.search", KeyBody: new(true), TTL: new(time.Minute)}}
		p.proxy.MaxBody = 200 << 10
	}), &calls
}

// Seen to fail with a key without the body, and with one without its Content-Type.
func TestAPostThatReadsIsCachedByItsBody(t *testing.T) {
	h, calls := newSearchHarness(t)
	large := strings.Repeat("x", maxQuestion+1)
	for _, tt := range []struct {
		name, path, body, kind, want string
		calls                        int
	}{
		{"a search", "/v1/chat.search", `{"q":"a"}`, "application/json", "fwd=uri-miss; stored", 1},
		{"the same again", "/v1/chat.search", `{"q":"a"}`, "application/json", "hit; ttl=", 1},
		{"another body", "/v1/chat.search", `{"q":"b"}`, "application/json", "fwd=uri-miss; stored", 2},
		{"the same bytes as something else", "/v1/chat.search", `{"q":"a"}`, "text/plain", "fwd=uri-miss; stored", 3},
		{"no body", "/v1/chat.search", "", "application/json", "fwd=uri-miss; stored", 4},
		{"a body too large for the cache", "/v1/chat.search", large, "", "fwd=method", 5},
		{"the same again, which was not cached", "/v1/chat.search", large, "", "fwd=method", 6},
		{"a POST that no rule names", "/v1/chat.post", `{"q":"a"}`, "application/json", "fwd=method", 7},
		{"a search after a message was written", "/v1/chat.search", `{"q":"a"}`, "application/json", "fwd=uri-miss; stored", 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := h.do(t.Context(), "POST", tt.path, tt.body, "Content-Type", tt.kind)
			if got := strings.TrimPrefix(w.Header().Get("Cache-Status"), "roamproxy; "); !strings.HasPrefix(got, tt.want) || *calls != tt.calls {
				t.Errorf("%s after %d calls, want %s after %d", got, *calls, tt.want, tt.calls)
			}
			if want := fmt.Sprintf(`"asked":%q`, tt.body); !strings.Contains(w.Body.String(), want) {
				t.Errorf("answered %.80s…, want %.80s…", w.Body, want)
			}
		})
	}
	if w := h.do(t.Context(), "POST", "/v1/chat.search", strings.Repeat("x", 200<<10+1)); w.Code != 413 {
		t.Errorf("a body beyond the bound: %d, want 413", w.Code)
	}
}

func TestPurgeCountsWhatItRemoves(t *testing.T) {
	h := newHarness(t, nil, &recordingUpstream{}, unmetered)
	for _, path := range []string{"/v1/group.list?limit=1", "/v1/group.list?limit=2", "/v1/group.members", "/v1/user.list"} {
		h.do(t.Context(), "GET", path, "")
	}
	for _, tt := range []struct {
		pattern string
		want    int
		wrong   bool
	}{{"GET /v1/group.*", 3, false}, {"/v1/group.*", 0, false}, {"/v1/*", 1, false}, {"group", 0, true}, {"/[", 0, true}, {"", 0, true}} {
		if n, err := h.Purge(tt.pattern); n != tt.want || (err != nil) != tt.wrong {
			t.Errorf("%q removed %d answers (%v), want %d", tt.pattern, n, err, tt.want)
		}
	}
}

// A write that was sent and got no answer may have been executed, so it invalidates. A write that was not sent does not.
//
// Seen to fail with an unanswered write that invalidates nothing, and with an unsent write that does.
func TestAWriteOfUnknownOutcomeInvalidates(t *testing.T) {
	for _, tt := range []struct {
		name        string
		leaves      time.Duration
		spent       bool
		invalidated bool
	}{
		{"its tool disconnected while it was in flight", time.Second, false, true},
		{"Roam was silent", time.Hour, false, true},
		{"its tool left while it was queued", time.Second / 2, true, false},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, func(p *setup) {
				p.proxy.Tables.Rules = []Rule{{Match: "GET /v1/groups.list", TTL: new(time.Hour), Stale: new(time.Duration(0))}}
			})
			h.do(t.Context(), "GET", "/v1/groups.list", "")
			if tt.spent {
				h.bucket.Restore(time.Now(), 0)
			}
			e.answer = func(r *http.Request) (*http.Response, error) {
				httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.leaves)
			defer cancel()
			h.do(ctx, "POST", "/v1/group.rename", "{}")
			e.answer = nil
			time.Sleep(3 * time.Second)
			got := h.do(t.Context(), "GET", "/v1/groups.list", "").Header().Get("Cache-Status")
			if invalidated := !strings.Contains(got, "hit"); invalidated != tt.invalidated {
				t.Errorf("invalidated = %v (%s), want %v", invalidated, got, tt.invalidated)
			}
		})
	}
}
