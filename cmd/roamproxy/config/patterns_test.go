package config

import (
	"fmt"
	"strings"
	"testing"
)

// Entries that can never match are mistakes, each with its key and line; what can match is taken.
//
// Seen to fail with such entries taken.
func TestEntriesThatNeverMatch(t *testing.T) {
	for _, tt := range []struct{ entry, want string }{
		{"GET /v1/*", ""},
		{"* /v1/chat.*", ""},
		{"VERSION-CONTROL /v1/x", ""},
		{"GET /v1/[a-m]*.list", ""},
		{"GET /v1/chat.?ist", ""},
		{"GET /v1/a%7Eb", ""},
		{"GET /scim/v2/Users/*", ""},
		{"get /v1/*", "methods are in capitals, so write GET /v1/*"},
		{"Get /v1/*", "so write GET /v1/*"},
		{"GET,POST /v1/*", "want one method"},
		{"P* /v1/*", "want one method"},
		{"** /v1/*", "want one method"},
		{"TRACE /v1/*", "roamproxy refuses TRACE"},
		{"GET  /v1/*", "want METHOD /path"},
		{"GET v1/*", "want METHOD /path"},
		{"GET https://api.ro.am/v1/*", "want METHOD /path"},
		{"GET /v1/x.list ", "a space"},
		{"GET /v1/x.list?limit=10", "without the query"},
		{"GET /v1//x", "dot segments, //"},
		{"GET /v1/../x", "dot segments"},
		{"GET /v1/..", "dot segments"},
		{"GET /v1/a%2fb", "an escaped /"},
		{"GET /v1/a%3Fb", "an escaped /"},
		{"GET /v1/a%20b", "dot segments"},
		{"GET /v1/a%", "dot segments"},
		{"GET /v1/a;b", "a space"},
		{"GET /v1/grüße", "beyond ASCII"},
		{"POST /v1/x tools/list", "a space"},
		{"POST /mc* tools/list", "a space"},
		{"GET /mcp tools/list", "so write POST /mcp tools/list"},
		{"* /mcp tools/list", "so write POST /mcp tools/list"},
		{"POST /mcp ", "want a JSON-RPC method"},
		{"POST /mcp tools/call  a", "want a JSON-RPC method"},
		{"POST /mcp tools/call a b", "want a JSON-RPC method"},
		{"POST /mcp tools/list meeting_*", "have a name"},
		{"POST /mcp tool/list", "MCP has no method"},
		{"POST /mcp Tools/Call meeting_*", "have a name"},
		{"POST /mcp Tools/*", "MCP has no method"},
		{"POST /mcp *", "leave it out"},
		{"POST /mcp", ""},
		{"POST /mcp tools/list", ""},
		{"POST /mcp tools/*", ""},
		{"POST /mcp tools/call meeting_*", ""},
		{"POST /mcp prompts/get standup", ""},
		{"POST /mcp tools/call [", "no pattern"},
	} {
		t.Run(tt.entry, func(t *testing.T) {
			wantMistake(t, fmt.Sprintf("open: false\ntools: [{name: a, token_sha256: %s, allow: [%q]}]", sum, tt.entry), "c.yaml:2: tools[0].allow[0]: ", tt.want)
		})
	}
	for _, tt := range []struct{ entry, want string }{
		{"http://localhost:3000", ""},
		{"https://app.example", ""},
		{"http://127.0.0.1:5173", ""},
		{"http://[::1]:3000", ""},
		{"http://my_app:3000", ""},
		{"http://a.example.", ""},
		{"https://xn--bcher-kva.example", ""},
		{"chrome-extension://abcdefghijklmnop", ""},
		{"capacitor://localhost", ""},
		{"http://*", "there are no wildcards"},
		{"http://*.corp.example", "there are no wildcards"},
		{"http://localhost:*", "want an origin"},
		{"http://a:80", "so write http://a"},
		{"https://a.example:443", "so write https://a.example"},
		{"http://A", "so write http://a"},
		{"HTTP://a", "want an origin"},
		{"http://a/", "want an origin"},
		{"localhost:3000", "want an origin"},
		{"null", "want an origin"},
		{"*", "want an origin"},
		{"http://u@a", "want an origin"},
		{"http://a:", "its port is none"},
		{"http://a:0", "its port is none"},
		{"http://a:03000", "its port is none"},
		{"http://a:99999", "its port is none"},
		{"http://bücher.example", "begins with xn--"},
		{"http://127.1:3000", "four numbers"},
		{"http://0x7f000001", "four numbers"},
		{"http://[0:0:0:0:0:0:0:1]:3000", "another form (::1)"},
		{"http://[::ffff:127.0.0.1]", "another form"},
	} {
		t.Run(tt.entry, func(t *testing.T) {
			wantMistake(t, fmt.Sprintf("open: false\nbrowsers: [%q]", tt.entry), "c.yaml:2: browsers[0]: ", tt.want)
		})
	}
	for _, host := range []string{"*", "*.corp.example", "a:80", "a/b", ""} {
		wantMistake(t, fmt.Sprintf("open: false\nhosts: [%q]", host), "c.yaml:2: hosts[0]: ", "want a name without a port")
	}
	wantMistake(t, "open: false\ncache: {rules: [{match: get /v1/x}]}", "c.yaml:2: cache.rules[0].match: ", "so write GET /v1/x")
	wantMistake(t, "open: false\ncache: {drop: [{after: post /v1/x, routes: [/v1/y]}]}", "c.yaml:2: cache.drop[0].after: ", "so write POST /v1/x")
}

// wantMistake wants one mistake with this key and text in a configuration, or none.
func wantMistake(t *testing.T, text, key, want string) {
	t.Helper()
	_, err := loadText(t, home(), text)
	switch {
	case want == "" && err != nil:
		t.Errorf("%v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %s…%s", err, key, want)
	}
}
