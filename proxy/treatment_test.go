package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Equal reads at the same time share one call, also on routes that are not cached.
func TestEqualReadsShareACallThoughNothingIsCached(t *testing.T) {
	for _, tt := range []struct {
		name, target string
		header       []string
		calls        int
	}{
		{"presence", "/v1/user.list?expand=status", nil, 1},
		{"a search", "/v1/meeting.search?query=x", nil, 1},
		{"a field that roamproxy does not know", "/v1/meeting.search?query=x", []string{"X-Own", "1"}, 3},
		{"an event stream", "/mcp", []string{"Accept", "text/event-stream"}, 3},
		{"a request for a fresh answer", "/v1/meeting.search", []string{"Cache-Control", "no-store"}, 3},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return reply(r, 200, `{"ok":true}`, "Content-Type", "application/json"), nil
			}}
			h := newHarness(t, nil, e, unmetered)
			var mu sync.Mutex
			seen := map[string]int{}
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					w := h.do(t.Context(), "GET", tt.target, "", tt.header...)
					mu.Lock()
					defer mu.Unlock()
					seen[w.Header().Get("Cache-Status")]++
				})
			}
			all.Wait()
			want := map[string]int{"roamproxy; fwd=bypass": tt.calls}
			if tt.calls < 3 {
				want["roamproxy; fwd=bypass; collapsed"] = 3 - tt.calls
			}
			if fmt.Sprint(seen) != fmt.Sprint(want) {
				t.Errorf("Cache-Status %v, want %v", seen, want)
			}
			if w := h.do(t.Context(), "GET", tt.target, "", tt.header...); strings.Contains(w.Header().Get("Cache-Status"), "hit") {
				t.Error("a later read was answered from the cache, want a call")
			}
		})
	}
}

// A request without Priority has the urgency of its route. Priority overrides that.
func TestRoutesHaveTheirOwnUrgency(t *testing.T) {
	e := &recordingUpstream{}
	h := newHarness(t, nil, e, unmetered, func(p *setup) {
		p.proxy.Tables.Routes = []Route{{Match: "POST /v1/chat.post", Urgency: new(6)}}
	})
	for _, tt := range []struct {
		name, target, priority string
		want                   int
	}{
		{"of the route", "/v1/chat.post", "", 6},
		{"of the tool", "/v1/chat.post", "u=1", 1},
		{"usual", "/v1/chat.update", "", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			if tt.priority != "" {
				header = []string{"Priority", tt.priority}
			}
			h.do(t.Context(), "POST", tt.target, `{}`, header...)
			if got := h.last().Decisions.Urgency; got != tt.want {
				t.Errorf("urgency %d, want %d", got, tt.want)
			}
		})
	}
}

// A write in one chat invalidates the history of that chat, and of no other.
func TestAWriteInvalidatesTheChatThatItNames(t *testing.T) {
	for _, tt := range []struct {
		name, method, write, body string
		invalidated               bool
	}{
		{"a message there", "POST", "/v1/chat.post", `{"text":"hello","chatId":"C-1"}`, true},
		{"a message there on v0", "POST", "/v0/chat.post", `{"chat":["C-1"]}`, true},
		{"a message elsewhere", "POST", "/v1/chat.post", `{"chatId":"C-2"}`, false},
		{"a chat in the query", "POST", "/v1/chat.update?chatId=C-2", ``, false},
		{"a message to a group, which may be that chat", "POST", "/v1/chat.post", `{"groupId":"G-1"}`, true},
		{"a body that is no JSON", "POST", "/v1/chat.post", `chatId=C-2`, true},
		{"typing", "POST", "/v1/chat.typing", `{"chatId":"C-1"}`, false},
		{"a reaction there", "POST", "/v1/reaction.add", `{"chatId":"C-1"}`, true},
		{"revoking the credential", "POST", "/v1/token.revoke", ``, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, unmetered)
			h.do(t.Context(), "GET", "/v1/chat.history?chatId=C-1", "")
			if w := h.do(t.Context(), tt.method, tt.write, tt.body); w.Code != 200 || string(e.body) != tt.body {
				t.Fatalf("the write: %d, Roam saw %q, want %q", w.Code, e.body, tt.body)
			}
			got := h.do(t.Context(), "GET", "/v1/chat.history?chatId=C-1", "").Header().Get("Cache-Status")
			if strings.Contains(got, "hit") == tt.invalidated {
				t.Errorf("the history afterwards: %s, want invalidated = %v", got, tt.invalidated)
			}
		})
	}
}

// Seen to fail with the cached scopes of a credential that Roam refuses.
func TestA401RemovesTheCachedTokenInfo(t *testing.T) {
	for _, read := range []string{"/v1/meeting.search", "/v1/user.list"} {
		t.Run(read, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, unmetered)
			h.do(t.Context(), "GET", "/v1/token.info", "")
			if got := h.do(t.Context(), "GET", "/v1/token.info", "").Header().Get("Cache-Status"); !strings.Contains(got, "hit") {
				t.Fatalf("token.info: %s, want a hit", got)
			}
			e.answer = func(r *http.Request) (*http.Response, error) {
				return reply(r, 401, `{"ok":false,"error":"invalid_token"}`, "Content-Type", "application/json"), nil
			}
			h.do(t.Context(), "GET", read, "")
			if w := h.do(t.Context(), "GET", "/v1/token.info", ""); w.Code != 401 {
				t.Errorf("token.info after a 401: %d, %s; want 401", w.Code, w.Header().Get("Cache-Status"))
			}
		})
	}
}
