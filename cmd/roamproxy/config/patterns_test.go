package config

import (
	"fmt"
	"strings"
	"testing"
)

// An allow entry that can never match is an error with its key and line. All others are valid.
//
// Seen to fail with such entries accepted.
func TestAllowEntriesThatNeverMatch(t *testing.T) {
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
		{"GET /v1/grüße", "non-ASCII"},
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
			text := fmt.Sprintf("open: false\ntools: [{name: a, token_sha256: %s, allow: [%q]}]", sum, tt.entry)
			wantMistake(t, text, "c.yaml:2: tools[0].allow[0]: ", tt.want)
		})
	}
}

// An origin that no browser sends is an error with its key and line. All others are valid.
//
// Seen to fail with such entries accepted.
func TestBrowserOriginsThatNeverMatch(t *testing.T) {
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
		{"http://a:", "its port is invalid"},
		{"http://a:0", "its port is invalid"},
		{"http://a:03000", "its port is invalid"},
		{"http://a:99999", "its port is invalid"},
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
}

// Seen to fail with such entries accepted.
func TestHostsThatNeverMatch(t *testing.T) {
	for _, host := range []string{"*", "*.corp.example", "a:80", "a/b", ""} {
		t.Run(host, func(t *testing.T) {
			wantMistake(t, fmt.Sprintf("open: false\nhosts: [%q]", host), "c.yaml:2: hosts[0]: ", "want a name without a port")
		})
	}
}

// Seen to fail with such entries accepted.
func TestCacheRoutesThatNeverMatch(t *testing.T) {
	for _, tt := range []struct{ name, text, key, want string }{
		{"a rule", "cache: {rules: [{match: get /v1/x}]}", "cache.rules[0].match", "so write GET /v1/x"},
		{"what a write drops", "cache: {drop: [{after: post /v1/x, routes: [/v1/y]}]}", "cache.drop[0].after", "so write POST /v1/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantMistake(t, "open: false\n"+tt.text, "c.yaml:2: "+tt.key+": ", tt.want)
		})
	}
}

// wantMistake checks that a configuration has a mistake with this key and text; if want is "", none.
func wantMistake(t *testing.T, text, key, want string) {
	t.Helper()
	_, err := loadText(t, home(), text)
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want no mistake", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %s…%s", err, key, want)
	}
}
