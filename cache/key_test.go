package cache

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
)

func request(method, target string, header ...string) *http.Request {
	r, err := http.NewRequest(method, "http://roam.example"+target, nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// Seen to fail with a key without the credential and with one without the query.
func TestKeyHoldsWhatChangesTheAnswer(t *testing.T) {
	base := NewKey("org", request("GET", "/v1/user.list?a=1&b=2"), nil)
	for _, tt := range []struct {
		name string
		key  Key
		same bool
	}{
		{"the same again", NewKey("org", request("GET", "/v1/user.list?a=1&b=2"), nil), true},
		{"another order of names", NewKey("org", request("GET", "/v1/user.list?b=2&a=1"), nil), true},
		{"its HEAD", NewKey("org", request("HEAD", "/v1/user.list?a=1&b=2"), nil), true},
		{"another agent", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "User-Agent", "x"), nil), true},
		{"another credential", NewKey("alice", request("GET", "/v1/user.list?a=1&b=2"), nil), false},
		{"another method", NewKey("org", request("POST", "/v1/user.list?a=1&b=2"), nil), false},
		{"another version", NewKey("org", request("GET", "/v0/user.list?a=1&b=2"), nil), false},
		{"another path in another encoding", NewKey("org", request("GET", "/v1/user%2Elist?a=1&b=2"), nil), false},
		{"another value", NewKey("org", request("GET", "/v1/user.list?a=1&b=3"), nil), false},
		{"a value more", NewKey("org", request("GET", "/v1/user.list?a=1&a=1&b=2"), nil), false},
		{"an empty value more", NewKey("org", request("GET", "/v1/user.list?a=1&b=2&c="), nil), false},
		{"a body", NewKey("org", request("GET", "/v1/user.list?a=1&b=2"), []byte("x")), false},
		{"a version of the API", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Roam-Version", "2026-05-01"), nil), false},
		{"another form", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Accept", "text/vtt"), nil), false},
		{"another body", NewKey("org", request("GET", "/v1/user.list?a=1&b=2"), []byte("y")), false},
		{"an encoding that is refused", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Accept-Encoding", "gzip;q=0"), nil), false},
		{"no encoding", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Accept-Encoding", ""), nil), false},
		{"another trace and another library", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Traceparent", "00-1", "Tracestate", "a",
			"X-Fern-Language", "Go"), nil), true},
		{"a condition", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "If-None-Match", `"1"`, "Cache-Control", "no-cache"), nil), true},
		{"another language", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Accept-Language", "de"), nil), false},
		{"a field of tomorrow", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Mcp-Name", "x"), nil), false},
		{"another origin", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Origin", "http://a.example"), nil), false},
		{"the parts of one field in two", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Accept", "a", "Accept", "b"), nil), false},
		{"another encoding", NewKey("org", request("GET", "/v1/user.list?a=1&b=2", "Accept-Encoding", "gzip"), nil), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if same := tt.key == base; same != tt.same {
				t.Errorf("same key = %v, want %v", same, tt.same)
			}
		})
	}
	if NewKey("org", request("GET", "/?a=1&a=2"), nil) == NewKey("org", request("GET", "/?a=2&a=1"), nil) {
		t.Error("the order of repeats does not change the key, want another key")
	}
	if NewKey("org", request("GET", "/?a=1&%61=2"), nil) == NewKey("org", request("GET", "/?%61=2&a=1"), nil) {
		t.Error("the order of repeats does not change the key when one is encoded, want another key")
	}
	for _, pair := range [][2]string{{"/v1/a%2Fb|", "/v1/a/b|"}, {"/v1/é", "/v1/%C3%A9"}, {"/v1/x", "/v1/x?"}} {
		t.Run(pair[0]+" and "+pair[1], func(t *testing.T) {
			one, two := httptest.NewRequest("GET", pair[0], nil), httptest.NewRequest("GET", pair[1], nil)
			if NewKey("org", one, nil) == NewKey("org", two, nil) {
				t.Error("both have one key, want two, because Roam gets them unchanged")
			}
		})
	}
}

// Requests that Roam could distinguish, by their parsed query, path or header fields, have different keys.
func FuzzKey(f *testing.F) {
	f.Add("a=1&b=2", "b=2&a=1", "text/vtt", "")
	f.Add("a=1&%61=2", "%61=2&a=1", "", "")
	f.Add("a&&b", "a&b", "", "x")
	f.Add("a=1;b", "a=1", "a", "b")
	f.Fuzz(func(t *testing.T, query, other, accept, version string) {
		one := &http.Request{
			Method: "GET",
			URL:    &url.URL{Path: "/v1/x", RawQuery: query},
			Header: http.Header{"Accept": {accept}, "Roam-Version": {version}},
		}
		two := &http.Request{Method: "GET", URL: &url.URL{Path: "/v1/x", RawQuery: other}, Header: one.Header}
		turned := &http.Request{Method: "GET", URL: one.URL, Header: http.Header{"Accept": {version}, "Roam-Version": {accept}}}
		if accept != version && NewKey("org", one, nil) == NewKey("org", turned, nil) {
			t.Errorf("fields %q and %q can be exchanged without another key, want another", accept, version)
		}
		if NewKey("org", one, nil) != NewKey("org", two, nil) {
			return
		}
		a, _ := url.ParseQuery(query)
		b, _ := url.ParseQuery(other)
		if len(a) != len(b) {
			t.Errorf("%q and %q have one key, want two", query, other)
		}
		for name := range a {
			if !slices.Equal(a[name], b[name]) {
				t.Errorf("%q and %q have one key and differ in %q, want two keys", query, other, name)
			}
		}
	})
}
