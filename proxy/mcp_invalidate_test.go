package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/cache"
)

func toolCall(name, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, name, arguments)
}

// A tool call that changes something invalidates the cached answers about it.
func TestToolCallsOfAgentsInvalidate(t *testing.T) {
	const chatA, chatB = "/v1/chat.history?chatId=C-a", "/v1/chat.history?chatId=C-b"
	for _, tt := range []struct {
		name, body, read string
		invalidates      bool
	}{
		{"a reaction, and the chats", toolCall("reaction_add", `{"chatId":"C-a"}`), "/v1/chat.list", true},
		{"a reaction, and its chat", toolCall("reaction_add", `{"chatId":"C-a"}`), chatA, true},
		{"a reaction, and another chat", toolCall("reaction_add", `{"chatId":"C-a"}`), chatB, false},
		{"a reaction to no chat that is named", toolCall("reaction_add", `{}`), chatB, true},
		{"a reaction, and groups", toolCall("reaction_add", `{}`), "/v1/group.list", false},
		{"a group", toolCall("group_rename", `{}`), "/v1/group.list", true},
		{"a verb before its noun", toolCall("renameGroup", `{}`), "/v1/group.list", true},
		{"a message", toolCall("send_message", `{"chatId":"C-a"}`), chatA, true},
		{"a pulse", toolCall("chat_typing", `{"chatId":"C-a"}`), chatA, false},
		{"a tool that reads", toolCall("reaction_list", `{"chatId":"C-a"}`), chatA, false},
		{"no call of a tool", `{"id":1,"method":"tools/list"}`, chatA, false},
		{"a batch", "[" + toolCall("meeting_search", "{}") + "," + toolCall("group_rename", "{}") + "]", "/v1/group.list", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{}, unmetered)
			h.do(t.Context(), "GET", tt.read, "")
			h.do(t.Context(), "POST", "/mcp", tt.body)
			h.do(t.Context(), "GET", tt.read, "")
			if got := h.last().Cache; (got == cache.Miss) != tt.invalidates {
				t.Errorf("the read is a %s, want it invalidated: %v", got, tt.invalidates)
			}
		})
	}
}

// A tool call that is answered in events changes something after its response header. A read in between may be answered from the cache; the
// end of the call invalidates.
//
// Seen to fail with an invalidation at the response header alone.
func TestCallsAnsweredInEventsInvalidateAtTheirResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := eventsOf("data: progress\n\n", "data: result\n\n")
		e := &recordingUpstream{answer: func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Opaque, "/mcp") || req.URL.Path == "/mcp" {
				return stream(req)
			}
			return reply(req, 200, `{"ok":true}`), nil
		}}
		h := newHarness(t, nil, e, unmetered, func(p *setup) { p.proxy.Tables.Rules = []Rule{{Match: "GET /v1/chat.list", TTL: new(time.Hour)}} })
		read := func() cache.Result { h.do(t.Context(), "GET", "/v1/chat.list", ""); return h.last().Cache }
		done := make(chan struct{})
		go func() {
			h.do(t.Context(), "POST", "/mcp", toolCall("reaction_add", "{}"), "Accept", listens)
			close(done)
		}()
		time.Sleep(time.Second)
		read()
		if got := read(); got != cache.Hit {
			t.Errorf("before the result the read is a %s, want a hit", got)
		}
		<-done
		if got := read(); got != cache.Miss {
			t.Errorf("after the result the read is a %s, want a miss", got)
		}
	})
}
