package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// Seen to fail with a write that invalidates only what is configured.
func TestWritesInvalidateWhatTheyAffect(t *testing.T) {
	for _, tt := range []struct {
		name, method, write, read string
		status                    int
		invalidated               bool
	}{
		{"a rename and its groups", "POST", "/v1/group.rename", "/v1/groups.list", 204, true},
		{"a rename and its group, on another version", "POST", "/v1/group.rename", "/v0/group.members", 200, true},
		{"a rename and the users", "POST", "/v1/group.rename", "/v1/user.list", 200, false},
		{"a message and its history", "POST", "/v1/chat.post", "/v1/chat.history", 200, true},
		{"a reaction and the history", "POST", "/v0/reaction.add", "/v1/chat.history", 200, true},
		{"a SCIM user and the users", "DELETE", "/scim/v2/Users/1", "/v1/user.list", 204, true},
		{"a rename in escapes and its groups", "POST", "/v1/%67roup%2Erename", "/v1/groups.list", 204, true},
		{"a rename and its groups in escapes", "POST", "/v1/group.rename", "/v1/%67roups.list", 204, true},
		{"a rename that leads elsewhere", "POST", "/v1/group.rename", "/v1/groups.list", 303, true},
		{"a write that failed", "POST", "/v1/group.rename", "/v1/groups.list", 400, false},
		{"a POST that reads", "POST", "/v1/group.search", "/v1/groups.list", 200, false},
		{"a write that Roam broke off", "POST", "/v1/group.rename", "/v1/groups.list", 502, true},
		{"what the configuration names", "POST", "/v1/team.join", "/v1/user.list", 200, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &recordingUpstream{}
			h := newHarness(t, nil, e, unmetered, func(p *setup) {
				p.proxy.Tables.Drops = []Drop{{After: "POST /v1/team.*", Routes: []string{"/v*/user.list"}}}
			})
			h.do(t.Context(), "GET", tt.read, "")
			e.answer = func(r *http.Request) (*http.Response, error) { return reply(r, tt.status, ""), nil }
			h.do(t.Context(), tt.method, tt.write, "")
			e.answer = nil
			got := h.do(t.Context(), "GET", tt.read, "").Header().Get("Cache-Status")
			if invalidated := !strings.Contains(got, "hit"); invalidated != tt.invalidated {
				t.Errorf("Cache-Status %s: invalidated = %v, want %v", got, invalidated, tt.invalidated)
			}
		})
	}
}
