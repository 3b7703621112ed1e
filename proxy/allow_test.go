package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// allowOnly configures one tool, with the token "token" and this allow-list.
func allowOnly(allow ...string) func(*setup) {
	return func(p *setup) {
		p.proxy.Tools = []Tool{{Name: "agent", Tokens: tokens("token"), Allow: allow}}
	}
}

// A tool with allow may send nothing else, alone or in a batch.
func TestAllowDecidesOnMCPMessages(t *testing.T) {
	const addCall = `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"reaction_add","arguments":{}}}`
	reads := []string{"GET /mcp", "POST /mcp tools/list", "POST /mcp tools/call meeting_*"}
	for _, tt := range []struct {
		name  string
		allow []string
		body  string
		sent  bool
		h     []string
	}{
		{"a tool that is named", reads, searchCall, true, nil},
		{"a tool that is not", reads, addCall, false, nil},
		{"a method that is named", reads, listCall, true, nil},
		{"a method that is not", reads, `{"jsonrpc":"2.0","id":1,"method":"resources/list"}`, false, nil},
		{"the begin of a session", reads, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, true, nil},
		{"a notification", reads, initNotice, true, nil},
		{"a response", reads, `{"jsonrpc":"2.0","id":1,"result":{}}`, true, nil},
		{"a batch of both", reads, "[" + searchCall + "," + addCall + "]", false, nil},
		{"a batch", reads, "[" + searchCall + "," + listCall + "," + initNotice + "]", true, nil},
		{"a call without an id", reads, strings.Replace(addCall, `"id":8,`, "", 1), false, nil},
		{"nothing", reads, "", false, nil},
		{"no JSON", reads, "tools/list", false, nil},
		{"a method twice", reads, strings.Replace(addCall, `"id":8`, `"method":"tools/list"`, 1), false, nil},
		{"params twice", reads, strings.Replace(addCall, `"id":8`, `"params":{"name":"meeting_search"}`, 1), false, nil},
		{"params in capitals", reads, strings.Replace(addCall, `}}}`, `}},"Params":{"name":"meeting_search"}}`, 1), false, nil},
		{"a name twice", reads, strings.Replace(addCall, `"name":`, `"name":"meeting_search","name":`, 1), false, nil},
		{"a name of escaped letters", reads, strings.Replace(addCall, `reaction_add`, `reaction\u005fadd`, 1), false, nil},
		{"more than is read", reads, searchCall + strings.Repeat(" ", 1<<20), false, nil},
		{"a compressed body", reads, searchCall, false, []string{"Content-Encoding", "gzip"}},
		{"another character set", reads, searchCall, false, []string{"Content-Type", "application/json; charset=utf-7"}},
		{"two character sets", reads, searchCall, false, []string{"Content-Type", "application/json; charset=utf-8; charset=utf-7"}},
		{"UTF-8", reads, searchCall, true, []string{"Content-Type", "application/json; charset=UTF-8"}},
		{"the whole path", []string{"POST /mcp"}, addCall, true, nil},
		{"the whole path, unread", []string{"POST /mcp"}, "tools/list", true, nil},
		{"the whole path beside messages", []string{"POST /mcp tools/list", "* /mcp"}, addCall, true, nil},
		{"another path", []string{"POST /v1/*"}, listCall, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, unmetered, allowOnly(tt.allow...))
			w := h.do(t.Context(), "POST", "/mcp", tt.body, append(tt.h, "Authorization", "Bearer token")...)
			if sent := e.req != nil; sent != tt.sent || sent && e.body != tt.body {
				t.Errorf("sent: %v (%q), want %v", sent, e.body, tt.sent)
			}
			if !tt.sent && (w.Code != 403 || w.Header().Get("Roamproxy-Error") != "not_allowed") {
				t.Errorf("answered %d %s, want 403 not_allowed", w.Code, w.Body)
			}
		})
	}
}

// A pattern for messages allows a POST to /mcp, and to no other method or path.
func TestOnlyTheExactMCPPathTakesMessages(t *testing.T) {
	for _, call := range []string{"POST /mcp/", "POST /MCP", "POST /%6dcp", "PUT /mcp", "GET /mcp", "DELETE /mcp", "POST /v1/chat.post"} {
		t.Run(call, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, unmetered, allowOnly("POST /mcp tools/list"))
			method, path, _ := strings.Cut(call, " ")
			if w := h.do(t.Context(), method, path, listCall, "Authorization", "Bearer token"); w.Code != 403 || e.req != nil {
				t.Errorf("answered %d, want 403", w.Code)
			}
		})
	}
}

func TestAllowRefusesMessagePatternsThatNeverMatch(t *testing.T) {
	for _, entry := range []string{"GET /mcp tools/list", "POST /v1/x tools/list", "POST /mcp tools/list a", "POST /mcp tools/call a b",
		"POST /mcp *", "POST /mcp x/y"} {
		t.Run(entry, func(t *testing.T) {
			if _, err := newTools([]Tool{{Name: "agent", Allow: []string{entry}}}, nil, nil); err == nil ||
				!strings.Contains(err.Error(), fmt.Sprintf("%q", entry)) {
				t.Errorf("error %v, want one that names the entry", err)
			}
		})
	}
}

// An agent of Go's SDK that may only read can open and use a session, and cannot write.
func TestAnAgentThatMayOnlyReadCannotWrite(t *testing.T) {
	for _, allow := range [][]string{
		{"POST /mcp tools/list", "POST /mcp tools/call meeting_*"},
		{"GET /mcp", "DELETE /mcp", "POST /mcp tools/list", "POST /mcp tools/call meeting_*"},
	} {
		t.Run(fmt.Sprint(allow), func(t *testing.T) {
			roam := newMCPRoam(t)
			roam.change("meeting_search")
			_, base := newHarnessOnSocket(t, roam.url, allowOnly(allow...))
			session := connect(t, base, "Authorization", "Bearer token")
			if tools, err := session.ListTools(t.Context(), nil); err != nil || len(tools.Tools) == 0 {
				t.Errorf("the tools: %v, %v; want some", tools, err)
			}
			if result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "meeting_search",
				Arguments: map[string]any{"query": "x"}}); err != nil || result.IsError {
				t.Errorf("a tool that reads: %+v, %v; want its result", result, err)
			}
			_, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "reaction_add", Arguments: map[string]any{"emoji": "+1"}})
			if err == nil || !strings.Contains(err.Error(), http.StatusText(http.StatusForbidden)) {
				t.Errorf("a tool that writes: %v, want it forbidden", err)
			}
			if _, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "meeting_search",
				Arguments: map[string]any{"query": "x"}}); err != nil {
				t.Errorf("a call after the refusal: %v, want its result", err)
			}
		})
	}
}
