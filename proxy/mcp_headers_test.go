package proxy

import (
	"strings"
	"testing"
)

// A server that reads the header would do something else than allow, repeats and metrics found in the body. So that is refused.
func TestHeadersThatContradictAMessageAreRefused(t *testing.T) {
	resource := `{"id":1,"method":"resources/read","params":{"uri":"roam://a"}}`
	for _, tt := range []struct {
		name, body string
		header     []string
		refused    bool
	}{
		{"none", searchCall, nil, false},
		{"the same", searchCall, []string{"Mcp-Method", "tools/call", "Mcp-Name", "meeting_search"}, false},
		{"another method", searchCall, []string{"Mcp-Method", "tools/list"}, true},
		{"another case", searchCall, []string{"Mcp-Method", "Tools/call"}, true},
		{"an empty method", searchCall, []string{"Mcp-Method", ""}, true},
		{"another tool", searchCall, []string{"Mcp-Method", "tools/call", "Mcp-Name", "reaction_add"}, true},
		{"two tools", searchCall, []string{"Mcp-Name", "meeting_search", "Mcp-Name", "reaction_add"}, true},
		{"a resource", resource, []string{"Mcp-Method", "resources/read", "Mcp-Name", "roam://a"}, false},
		{"another resource", resource, []string{"Mcp-Name", "roam://b"}, true},
		{"a name where there is none", listCall, []string{"Mcp-Name", "x"}, false},
		{"a notification", initNotice, []string{"Mcp-Method", "tools/call"}, true},
		{"one of a batch", "[" + searchCall + "," + listCall + "]", []string{"Mcp-Method", "tools/call"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, unmetered)
			w := h.do(t.Context(), "POST", "/mcp", tt.body, tt.header...)
			if refused := e.req == nil; refused != tt.refused {
				t.Fatalf("refused: %v, want %v", refused, tt.refused)
			}
			if tt.refused && (w.Code != 400 || w.Header().Get("Roamproxy-Error") != "bad_request" ||
				!strings.Contains(w.Body.String(), `"error":{"code":-32020,`)) {
				t.Errorf("answered %d %s, want 400 and -32020", w.Code, w.Body)
			}
		})
	}
}
