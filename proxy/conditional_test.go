package proxy

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/roamtest"
)

// A tool that polls an unchanged list gets 304 without a body. roamproxy's own tag is not forwarded to Roam.
func TestAConditionalReadOfAnUnchangedListIs304(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &recordingUpstream{}
		h := newHarness(t, nil, e, unmetered)
		first := h.do(t.Context(), "GET", "/v1/groups.list", "")
		tag := first.Header().Get("Etag")
		if first.Code != 200 || tag == "" || first.Header().Get("Date") == "" {
			t.Fatalf("the first read: %d %v, want 200 with a tag and a date", first.Code, first.Header())
		}
		for _, step := range []struct {
			name   string
			after  time.Duration
			want   string
			forget bool
		}{
			{"a cached answer", 5 * time.Second, "roamproxy; hit; ttl=25", false},
			{"an expired one", 2 * time.Minute, "roamproxy; fwd=stale; stored", false},
			{"one that was purged", 0, "roamproxy; fwd=uri-miss; stored", true},
		} {
			time.Sleep(step.after)
			if step.forget {
				h.Purge("/v1/*")
			}
			w := h.do(t.Context(), "GET", "/v1/groups.list", "", "If-None-Match", tag)
			if w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("Cache-Status") != step.want || w.Header().Get("Etag") != tag ||
				h.last().Status != 304 {
				t.Errorf("%s: %d with %d bytes, %v; want 304, %s", step.name, w.Code, w.Body.Len(), w.Header(), step.want)
			}
			for _, name := range []string{"Content-Type", "Content-Length"} {
				if w.Header()[name] != nil {
					t.Errorf("%s: the 304 has %s, want it without", step.name, name)
				}
			}
			if e.req.Header["If-None-Match"] != nil {
				t.Errorf("%s: Roam was asked with %v, want no condition", step.name, e.req.Header["If-None-Match"])
			}
		}
		e.answer = func(r *http.Request) (*http.Response, error) { return reply(r, 200, `{"ok":true,"new":1}`), nil }
		h.Purge("/v1/*")
		if w := h.do(t.Context(), "GET", "/v1/groups.list", "", "If-None-Match", tag); w.Code != 200 || w.Header().Get("Etag") == tag {
			t.Errorf("a list that changed: %d %v, want 200 with another tag", w.Code, w.Header())
		}
	})
}

func TestRoamsOwnValidatorsAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") == `"v1"` {
				return reply(r, 304, "", "Etag", `"v1"`), nil
			}
			return reply(r, 200, `{"ok":true}`, "Etag", `"v1"`), nil
		}}
		h := newHarness(t, nil, e, unmetered)
		h.do(t.Context(), "GET", "/v1/groups.list", "")
		time.Sleep(2 * time.Minute)
		w := h.do(t.Context(), "GET", "/v1/groups.list", "")
		if got := w.Header().Get("Cache-Status"); w.Code != 200 || w.Body.String() != `{"ok":true}` ||
			got != "roamproxy; fwd=stale; fwd-status=304; stored" {
			t.Errorf("%d %s, %s; want 200 with the stored body by a 304", w.Code, w.Body, got)
		}
		if w := h.do(t.Context(), "GET", "/v1/groups.list", "", "Range", "bytes=0-3", "If-None-Match", `"v1"`); w.Code != 304 ||
			w.Header().Get("Cache-Status") != "roamproxy; fwd=bypass" {
			t.Errorf("a range: %d %v, want it passed through with its condition", w.Code, w.Header())
		}
	})
}

// In a pause, and when the wait would be too long, a stale answer is served immediately.
func TestStaleAnswersWhileCallsWouldWait(t *testing.T) {
	for _, tt := range []struct {
		name   string
		prefer string
		occupy func(h *harness)
		want   string
	}{
		{"the quota is paused", "", func(h *harness) {
			h.roam.Script(roamtest.Throttle("20"))
			go h.do(context.Background(), "GET", "/v1/user.list", "", "Prefer", "wait=30")
			time.Sleep(time.Second)
		}, "roamproxy; hit; ttl=-31; detail=throttled"},
		{"the wait is longer than the longest", "wait=2", func(h *harness) {
			h.bucket.Restore(time.Now(), 0)
			for range 5 {
				go h.post(context.Background())
			}
			synctest.Wait()
		}, "roamproxy; hit; ttl=-30; detail=throttled"},
		{"no call is queued", "", func(*harness) {}, "roamproxy; fwd=stale; stored"},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			h := newHarness(t, roamtest.New(roamtest.Options{}), nil)
			h.do(t.Context(), "GET", "/v1/groups.list", "")
			time.Sleep(time.Minute)
			tt.occupy(h)
			start := time.Now()
			w := h.do(t.Context(), "GET", "/v1/groups.list", "", "Prefer", tt.prefer)
			if got := w.Header().Get("Cache-Status"); w.Code != 200 || got != tt.want || time.Since(start) != 0 || w.Header().Get("Age") == "0" {
				t.Errorf("%d %s after %v, age %s; want %s at once", w.Code, got, time.Since(start), w.Header().Get("Age"), tt.want)
			}
			time.Sleep(time.Minute)
		})
	}
}

// A background refresh takes a token only if no call is queued and another token is left.
func TestABackgroundRefreshDelaysNoCall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tokens int // that are left
		want   string
		calls  int
	}{
		{"a full bucket", 10, "roamproxy; hit; ttl=-5; detail=revalidating", 1},
		{"two tokens", 2, "roamproxy; hit; ttl=-5; detail=revalidating", 1},
		{"one token: the tool asks for itself", 1, "roamproxy; fwd=stale; stored", 1},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			h := newHarness(t, roamtest.New(roamtest.Options{}), nil)
			h.do(t.Context(), "GET", "/v1/groups.list", "")
			time.Sleep(35 * time.Second)
			for range 10 - tt.tokens {
				h.post(t.Context())
			}
			before := h.roam.Calls()
			w := h.do(t.Context(), "GET", "/v1/groups.list", "")
			synctest.Wait()
			if got := w.Header().Get("Cache-Status"); got != tt.want || h.roam.Calls()-before != tt.calls {
				t.Errorf("%s with %d calls, want %s with %d", got, h.roam.Calls()-before, tt.want, tt.calls)
			}
			if got := h.last(); got.Attempts != 0 && strings.Contains(tt.want, "hit") {
				t.Errorf("the report of a stale answer counts %d attempts, want none", got.Attempts)
			}
		})
	}
}

// A fill has the best place in the queue that any of its requests would have. Each request stops waiting after its own longest wait.
func TestAFillHasTheBestPlaceOfItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{}), nil)
		h.bucket.Restore(time.Now(), 0)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				h.do(t.Context(), "POST", "/v1/chat.post", `{"chat":"C-1","text":"x"}`, "Roamproxy-Tool", "flood")
			})
		}
		synctest.Wait()
		start := time.Now()
		read := func(tool string, header ...string) (int, time.Duration, string) {
			w := h.do(t.Context(), "GET", "/v1/groups.list", "", append(header, "Roamproxy-Tool", tool)...)
			return w.Code, time.Since(start), w.Header().Get("Roamproxy-Error")
		}
		all.Go(func() { // behind the twenty
			if code, took, _ := read("flood"); code != 200 || took > 5*time.Second {
				t.Errorf("the first request: %d after %v, want its answer together with that of the favoured one", code, took)
			}
		})
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		all.Go(func() {
			if code, took, reason := read("hasty", "Prefer", "wait=0"); code != 429 || took > 2*time.Second || reason != "wait_too_long" {
				t.Errorf("a request with a short wait: %d %s after %v, want 429", code, reason, took)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if code, took, _ := read("other"); code != 200 || took > 5*time.Second {
				t.Errorf("the request of a tool without queued calls: %d after %v, want it before the flood's", code, took)
			}
		})
		all.Wait()
		reads := slices.DeleteFunc(h.roam.Journal(), func(c roamtest.Call) bool { return c.Method != "GET" })
		if len(reads) != 1 {
			t.Errorf("%d reads reached Roam, want 1", len(reads))
		}
	})
}
