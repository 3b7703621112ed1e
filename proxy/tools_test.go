package proxy

import (
	"fmt"
	"strings"
	"testing"

	"roamproxy/proxy/credential"
)

// Seen to fail with any token accepted.
func TestToolsAreIdentifiedByToken(t *testing.T) {
	e := &recordingUpstream{}
	h := newHarness(t, nil, e, unmetered, func(p *setup) {
		key := func(name string) Credential {
			return Credential{Name: name, Source: credential.Key{Value: credential.NewSecret("key-of-" + name)}, Quota: "roam"}
		}
		p.proxy.Credentials = []Credential{key("org"), key("alice")}
		p.proxy.Tools = []Tool{
			{Name: "bot", Tokens: tokens("old", "new"),
				Allow: []string{"GET /v1/*", "POST /v1/chat.post"}},
			{Name: "hers", Tokens: tokens("alices"), Credential: "alice"},
		}
	})
	for _, tt := range []struct {
		name, method, target, authorization string
		status                              int
		tool, key                           string
	}{
		{"a token", "GET", "/v1/meeting.search", "Bearer new", 200, "bot", "org"},
		{"the token of before", "GET", "/v1/meeting.search", "Bearer old", 200, "bot", "org"},
		{"a token as password", "GET", "/v1/meeting.search", "Basic dG9vbDpuZXc=", 200, "bot", "org"},
		{"another credential", "DELETE", "/scim/v2/Users/1", "Bearer alices", 200, "hers", "alice"},
		{"a wrong token", "GET", "/v1/meeting.search", "Bearer wrong", 401, "other", ""},
		{"no token", "GET", "/v1/meeting.search", "", 401, "other", ""},
		{"a write that is allowed", "POST", "/v1/chat.post", "Bearer new", 200, "bot", "org"},
		{"a write that is not", "POST", "/v1/group.rename", "Bearer new", 403, "bot", ""},
		{"a path that is not", "GET", "/v0/meeting.transcript", "Bearer new", 403, "bot", ""},
		{"dots", "GET", "/v1/../v0/meeting.transcript", "Bearer new", 400, "bot", ""},
		{"encoded dots", "GET", "/v1/%2e%2e/v0", "Bearer new", 400, "bot", ""},
		{"an encoded slash", "GET", "/v1/a%2fb", "Bearer new", 400, "bot", ""},
		{"one encoded twice", "GET", "/v1/a%252fb", "Bearer new", 400, "bot", ""},
		{"a backslash", "GET", "/v1/a%5cb", "Bearer new", 400, "bot", ""},
		{"a question mark", "GET", "/v1/secret.export%3f.list", "Bearer new", 400, "bot", ""},
		{"one encoded twice", "GET", "/v1/secret.export%253f.list", "Bearer new", 400, "bot", ""},
		{"a line feed", "GET", "/v1/secret.export%0a.list", "Bearer new", 400, "bot", ""},
		{"a line end", "GET", "/v1/secret.export%0d%0a.list", "Bearer new", 400, "bot", ""},
		{"a tab", "GET", "/v1/secret.export%09.list", "Bearer new", 400, "bot", ""},
		{"a space", "GET", "/v1/secret.export%20.list", "Bearer new", 400, "bot", ""},
		{"a space encoded twice", "GET", "/v1/secret.export%2520.list", "Bearer new", 400, "bot", ""},
		{"a unit separator", "GET", "/v1/secret.export%1f.list", "Bearer new", 400, "bot", ""},
		{"a delete", "GET", "/v1/secret.export%7f.list", "Bearer new", 400, "bot", ""},
		{"a NUL", "GET", "/v1/secret.export%00.list", "Bearer new", 400, "bot", ""},
		{"a hash", "GET", "/v1/secret.export%23.list", "Bearer new", 400, "bot", ""},
		{"a semicolon", "GET", "/v1/secret.export%3b.list", "Bearer new", 400, "bot", ""},
		{"a full-width slash", "GET", "/v1/secret.export%ef%bc%8f.list", "Bearer new", 400, "bot", ""},
		{"a one-dot leader", "GET", "/v1/secret.export%e2%80%a4.list", "Bearer new", 400, "bot", ""},
		{"a no-break space", "GET", "/v1/secret.export%c2%a0.list", "Bearer new", 400, "bot", ""},
		{"a next line", "GET", "/v1/secret.export%c2%85.list", "Bearer new", 400, "bot", ""},
		{"an overlong dot", "GET", "/v1/secret.export%c0%ae.list", "Bearer new", 400, "bot", ""},
		{"a letter that is escaped without need", "GET", "/v1/%67roups.list", "Bearer new", 200, "bot", "org"},
		{"a query with all of that", "GET", "/v1/groups.list?a=%3f%0a%20/../", "Bearer new", 200, "bot", "org"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.req = nil
			w := h.do(t.Context(), tt.method, tt.target, "", "Authorization", tt.authorization)
			if w.Code != tt.status || h.last().Tool != tt.tool {
				t.Errorf("answered %d for %s, want %d for %s; %s", w.Code, h.last().Tool, tt.status, tt.tool, w.Body)
			}
			if tt.key == "" && e.req != nil || tt.key != "" && (e.req == nil || e.req.Header.Get("Authorization") != "Bearer key-of-"+tt.key) {
				t.Errorf("Roam got %v, want the key of %q", e.req, tt.key)
			}
		})
	}
}

func TestCallersNameThemselves(t *testing.T) {
	h := newHarness(t, nil, &recordingUpstream{}, unmetered)
	for name, want := range map[string]string{"": Local, "bot": "bot", "Bot\n": Other, strings.Repeat("x", 33): Other} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			h.do(t.Context(), "GET", "/v1/meeting.search", "", "Roamproxy-Tool", name)
			if got := h.last().Tool; got != want {
				t.Errorf("it is called %q, want %q", got, want)
			}
		})
	}
	for i := range 100 {
		h.do(t.Context(), "GET", "/v1/meeting.search", "", "Roamproxy-Tool", fmt.Sprint("bot-", i))
	}
	if got := h.last().Tool; got != Other || len(h.tools.callers.names) > maxNames+1 {
		t.Errorf("the hundredth is called %q, of %d names; want other, of a bounded number", got, len(h.tools.callers.names))
	}
}
