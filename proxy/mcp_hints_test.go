package proxy

import (
	"net/http"
	"strings"
	"testing"

	"roamproxy/cache"
)

// A tool's readOnlyHint in a list of tools overrides what its name suggests, for what it invalidates and for its repeats.
func TestReadOnlyHintDecidesWhetherAToolReads(t *testing.T) {
	const list = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"group_peek","annotations":{"readOnlyHint":true}},` +
		`{"name":"group_list","annotations":{"readOnlyHint":false}},{"name":"group_rename","annotations":{}}]}}`
	for _, tt := range []struct {
		tool    string
		before  bool // by its name it counts as one that reads
		after   bool // and by the list
		comment string
	}{
		{"group_peek", false, true, "a name that does not show it"},
		{"group_list", true, false, "a name that reads"},
		{"group_rename", false, false, "no hint"},
		{"group_info", true, true, "no tool of the list"},
	} {
		t.Run(tt.comment, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{answer: func(req *http.Request) (*http.Response, error) {
				if strings.HasSuffix(req.URL.RequestURI(), "/mcp") {
					return reply(req, 200, list), nil
				}
				return reply(req, 200, `{"ok":true}`), nil
			}}, unmetered)
			reads := func() bool {
				h.do(t.Context(), "GET", "/v1/group.list", "")
				h.do(t.Context(), "POST", "/mcp", toolCall(tt.tool, "{}"))
				h.do(t.Context(), "GET", "/v1/group.list", "")
				return h.last().Cache == cache.Hit
			}
			if got := reads(); got != tt.before {
				t.Errorf("before the list, it counts as one that reads: %v, want %v", got, tt.before)
			}
			h.do(t.Context(), "POST", "/mcp", listMessage("7", "{}"), "Accept", listens)
			if got := reads(); got != tt.after {
				t.Errorf("after the list, it counts as one that reads: %v, want %v", got, tt.after)
			}
		})
	}
}
