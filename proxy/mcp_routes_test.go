package proxy

import (
	"fmt"
	"strings"
	"testing"

	"roamproxy/proxy/rpc"
)

// The route of a message, for metrics, log and status page, names its method and tool.
func TestRouteLabelsOfMessages(t *testing.T) {
	named := func(name string) string { return strings.Replace(searchCall, "meeting_search", name, 1) }
	for _, tt := range []struct{ name, body, want string }{
		{"a call of a tool", searchCall, "/mcp tools/call meeting_search"},
		{"another request", listCall, "/mcp tools/list"},
		{"a notification", initNotice, "/mcp notifications/initialized"},
		{"a response", `{"id":1,"result":{}}`, "/mcp response"},
		{"an unknown method", `{"id":1,"method":"x/y"}`, "/mcp other"},
		{"what cannot be read", `{`, "/mcp other"},
		{"nothing", "", "/mcp other"},
		{"a tool with a long name", named(strings.Repeat("x", 65)), "/mcp tools/call other"},
		{"a tool with a strange name", named(`a\nb`), "/mcp tools/call other"},
		{"a batch", "[" + searchCall + "," + searchCall + "]", "/mcp tools/call meeting_search"},
		{"a mixed batch", "[" + searchCall + "," + listCall + "]", "/mcp batch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{}, unmetered)
			h.do(t.Context(), "POST", "/mcp", tt.body)
			if got := h.last().Route; got != tt.want || h.route != tt.want {
				t.Errorf("the request has route %q, its call %q, want %q", got, h.route, tt.want)
			}
		})
	}
}

// An agent may name any number of tools. The number of routes is bounded, and known ones keep their label.
func TestRouteLabelsOfMessagesAreBounded(t *testing.T) {
	var l mcpRoutes
	all := make(map[string]bool)
	call := func(name string) string {
		return l.label(&rpc.Body{Messages: []rpc.Message{{Method: rpc.ToolCall, Name: name}}})
	}
	for i := range 10 * maxMCPTools {
		all[call(fmt.Sprint("tool_", i))] = true
	}
	if len(all) != maxMCPTools+1 || !all["/mcp tools/call other"] {
		t.Errorf("%d routes, want %d and other", len(all), maxMCPTools)
	}
	if got := call("tool_0"); got != "/mcp tools/call tool_0" {
		t.Errorf("a known tool has route %q, want its own", got)
	}
}
