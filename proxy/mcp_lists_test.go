package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"roamproxy/proxy/roamtest/redistest"
)

// listOf answers every message with a list of two tools, the id 7, and these additional fields.
func listOf(fields, kind string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		text := `{"jsonrpc":"2.0","id":7,"result":{` + fields + `"tools":[{"name":"meeting_search"},{"name":"reaction_add"}]}}`
		if kind == "text/event-stream" {
			text = "id: 1\ndata:\n\nevent: message\ndata: " + text + "\n\n"
		}
		res := reply(req, 200, text)
		res.Header.Set("Content-Type", kind)
		return res, nil
	}
}

func listMessage(id, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/list","params":%s}`, id, params)
}

// Equal list requests of agents with the same token cost one call.
func TestToolListsAreCached(t *testing.T) {
	const kind = "application/json"
	for _, tt := range []struct {
		name, fields, kind string
		second             string
		after              time.Duration
		header             []string
		calls              int
	}{
		{"another id", "", kind, listMessage(`"b"`, `{}`), 0, nil, 1},
		{"in events", "", "text/event-stream", listMessage(`"b"`, `{}`), 0, nil, 1},
		{"another progress token", "", kind, listMessage("7", `{"_meta":{"progressToken":1}}`), 0, nil, 1},
		{"a cursor", "", kind, listMessage("7", `{"cursor":"x"}`), 0, nil, 2},
		{"another method", "", kind, strings.Replace(listMessage("7", `{}`), "tools", "prompts", 1), 0, nil, 2},
		{"another version", "", kind, listMessage("7", `{}`), 0, []string{"Mcp-Protocol-Version", "2024-11-05"}, 2},
		{"another language", "", kind, listMessage("7", `{}`), 0, []string{"Accept-Language", "de"}, 2},
		{"another agent and session", "", kind, listMessage("7", `{}`), 0, []string{"User-Agent", "b", "Mcp-Session-Id", "s"}, 1},
		{"a tool that wants no cached answer", "", kind, listMessage("7", `{}`), 0, []string{"Cache-Control", "no-cache"}, 2},
		{"after 59 s", "", kind, listMessage("7", `{}`), 59 * time.Second, nil, 1},
		{"after a minute", "", kind, listMessage("7", `{}`), 61 * time.Second, nil, 2},
		{"within its own time", `"ttlMs":600000,`, kind, listMessage("7", `{}`), 599 * time.Second, nil, 1},
		{"after its own time", `"ttlMs":5000,`, kind, listMessage("7", `{}`), 6 * time.Second, nil, 2},
		{"never", `"ttlMs":0,`, kind, listMessage("7", `{}`), 0, nil, 2},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{answer: listOf(tt.fields, tt.kind)}, unmetered)
			for i, body := range []string{listMessage("7", `{}`), tt.second} {
				w := h.do(t.Context(), "POST", "/mcp", body, append(tt.header[:len(tt.header)*i:len(tt.header)*i], "Accept", listens)...)
				if w.Code != 200 || !strings.Contains(w.Body.String(), "meeting_search") {
					t.Errorf("answered %d %s, want 200 with the list", w.Code, w.Body)
				}
				if i == 1 && tt.calls == 1 && (!strings.Contains(w.Body.String(), `"id":"b"`) && strings.Contains(body, `"b"`) ||
					!strings.Contains(w.Header().Get("Cache-Status"), "hit")) {
					t.Errorf("the cached list is answered %v %s, want a hit with the id of the request", w.Header(), w.Body)
				}
				time.Sleep(tt.after)
			}
			if h.mu.Lock(); h.sent != tt.calls {
				t.Errorf("%d calls, want %d", h.sent, tt.calls)
			}
			h.mu.Unlock()
		})
	}
}

// A list shows a tool only what it may call, also a cached one.
func TestListsShowWhatIsAllowed(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream"} {
		t.Run(kind, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{answer: listOf("", kind)}, unmetered,
				allowOnly("POST /mcp tools/list", "POST /mcp tools/call meeting_*"))
			for range 2 {
				w := h.do(t.Context(), "POST", "/mcp", listMessage("7", `{}`), "Accept", listens, "Authorization", "Bearer token")
				if want := `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"meeting_search"}]}}`; strings.TrimSpace(w.Body.String()) != want {
					t.Errorf("the list is %s, want %s", w.Body, want)
				}
			}
		})
	}
}

// An answer that is no list is passed on unchanged, and is not cached.
func TestOtherAnswersToAListRequestAreNotCached(t *testing.T) {
	for _, tt := range []struct{ name, kind, text string }{
		{"an error", "application/json", `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}`},
		{"another id", "application/json", `{"jsonrpc":"2.0","id":8,"result":{"tools":[]}}`},
		{"no JSON", "application/json", `<html>`},
		{"a notification before it", "text/event-stream", "data: {\"method\":\"notifications/message\"}\n\ndata: {\"id\":7,\"result\":{}}\n\n"},
		{"too large", "application/json", `{"id":7,"result":{"tools":["` + strings.Repeat("x", maxList) + `"]}}`},
		{"too large, in events", "text/event-stream", `data: {"id":7,"result":{"tools":["` + strings.Repeat("x", maxList) + "\"]}}\n\n"},
		{"half an event", "text/event-stream", `data: {"id":7,"result":{}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{answer: func(req *http.Request) (*http.Response, error) {
				res := reply(req, 200, tt.text)
				res.Header.Set("Content-Type", tt.kind)
				return res, nil
			}}, unmetered)
			for range 2 {
				if w := h.do(t.Context(), "POST", "/mcp", listMessage("7", `{}`), "Accept", listens); w.Body.String() != tt.text {
					t.Errorf("answered %.100q, want %.100q", w.Body, tt.text)
				}
			}
			if h.sent != 2 {
				t.Errorf("%d calls, want 2", h.sent)
			}
		})
	}
}

// Agents of Go's SDK share a cached list until Roam notifies them of a change.
func TestAgentsShareAListUntilItChanges(t *testing.T) {
	roam := newMCPRoam(t)
	_, base := newHarnessOnSocket(t, roam.url)
	changed := make(chan struct{}, 10)
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1.0.0"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
	})
	listening, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: base + "/mcp"},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listening.Close() })
	redistest.Eventually(t, "its stream is open", func() bool { return roam.open.Load() == 1 })
	other := connect(t, base)
	tools := func(s *mcp.ClientSession) int {
		all, err := s.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(all.Tools)
	}
	tools(listening)
	before := roam.calls.Load()
	if n := tools(listening); n != 1 || roam.calls.Load() != before {
		t.Errorf("%d tools, and %d calls more, want 1 and none", n, roam.calls.Load()-before)
	}
	roam.change("meeting_search")
	<-changed
	if n := tools(listening); n != 2 {
		t.Errorf("%d tools after the change, want 2", n)
	}
	if n := tools(other); n != 2 {
		t.Errorf("the other has %d tools, want 2", n)
	}
}
