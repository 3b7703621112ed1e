package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Bytes after a chunked request on its connection are never read as another request. A server in front of roamproxy may have found
// another end of the first one, by its Content-Length (RFC 9112 section 6.1). This holds after interim responses of Roam, too.
//
// Seen to fail with a connection that stays open after a chunked request.
func TestNothingIsSmuggledBehindAChunkedRequest(t *testing.T) {
	var calls atomic.Int32
	roam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "{}")
	}))
	defer roam.Close()
	base := newTransport(t, 4)
	tools := served(t, newHarness(t, nil, base, unmetered, func(p *setup) { p.proxy.Upstream = mustParse(roam.URL) }))
	pages := served(t, Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }),
		Reach{Loopback: true}))
	const smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, framing := range map[string]string{
		"a length before":       "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n",
		"a length behind":       "Transfer-Encoding: chunked\r\nContent-Length: 50\r\n",
		"a coding on two lines": "Content-Length: 50\r\nTransfer-Encoding:\r\n chunked\r\n",
		"a length on two lines": "Content-Length:\r\n\t50\r\nTransfer-Encoding: CHUNKED\r\n",
		"two lengths":           "Content-Length: 50\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n",
		"no length":             "Transfer-Encoding: chunked\r\n",
		"a length of nothing":   "Content-Length: 0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
	} {
		for _, first := range []string{"POST /v1/chat.post", "GET /v1/user.list", "GET /v1/meeting.search", "DELETE /v1/x"} {
			t.Run(name+", "+first, func(t *testing.T) {
				for listener, base := range map[string]string{"tools": tools, "admin": pages} {
					calls.Store(0)
					conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
					if err != nil {
						t.Fatal(err)
					}
					conn.SetDeadline(time.Now().Add(5 * time.Second)) // if the connection stays open
					io.WriteString(conn, first+" HTTP/1.1\r\nHost: localhost\r\n"+framing+"\r\n0\r\n\r\n"+smuggled)
					answers, err := io.ReadAll(conn)
					conn.Close()
					final := strings.Count(string(answers), "HTTP/1.1 ") - strings.Count(string(answers), "HTTP/1.1 103")
					if err != nil || final != 1 || calls.Load() > 1 || !strings.Contains(string(answers), "\r\nConnection: close\r\n") {
						t.Errorf("%s: %d answers and %d calls (%v), want 1 of each and a close: %q", listener, final, calls.Load(), err, answers)
					}
				}
			})
		}
	}
}

// Seen to fail with any Host accepted, and with any Origin.
func TestWhichRequestsTheGuardRefuses(t *testing.T) {
	e := &recordingUpstream{}
	h := newHarness(t, nil, e, unmetered, func(p *setup) {
		p.proxy.Browsers, p.proxy.Reach.Hosts = []string{"http://localhost:3000"}, []string{"proxy.corp.example", "10.1.2.3"}
	})
	for _, tt := range []struct {
		name, method, target string
		header               []string
		status               int
		code                 string
	}{
		{"a program", "GET", "/v1/meeting.search", nil, 200, ""},
		{"a program that uses localhost", "GET", "/v1/meeting.search", []string{"Host", "localhost:8080"}, 200, ""},
		{"a program that uses IPv6", "GET", "/v1/meeting.search", []string{"Host", "[::1]:8080"}, 200, ""},
		{"a rebound name", "GET", "/v1/meeting.search", []string{"Host", "evil.example:8080"}, 421, "host"},
		{"a name of our own", "GET", "/v1/meeting.search", []string{"Host", "Proxy.Corp.Example:8080"}, 200, ""},
		{"an address of our own", "GET", "/v1/meeting.search", []string{"Host", "10.1.2.3:8080"}, 200, ""},
		{"an address of another's", "GET", "/v1/meeting.search", []string{"Host", "10.1.2.4:8080"}, 421, "host"},
		{"a name below our own", "GET", "/v1/meeting.search", []string{"Host", "evil.proxy.corp.example"}, 421, "host"},
		{"the address that is none", "GET", "/v1/meeting.search", []string{"Host", "0.0.0.0:8080"}, 421, "host"},
		{"a container's name, on loopback", "GET", "/v1/meeting.search", []string{"Host", "roamproxy:8080"}, 421, "host"},
		{"a balancer's check without Host", "GET", "/v1/meeting.search", []string{"Host", ""}, 200, ""},
		{"a page without Host", "GET", "/v1/meeting.search", []string{"Host", "", "Sec-Fetch-Site", "none"}, 421, "host"},
		{"a page that is allowed, without Host", "GET", "/v1/meeting.search", []string{"Host", "", "Origin", "http://localhost:3000"}, 421,
			"host"},
		{"a port alone", "GET", "/v1/meeting.search", []string{"Host", ":8080"}, 421, "host"},
		{"another site's page", "GET", "/v1/meeting.search", []string{"Sec-Fetch-Site", "cross-site"}, 403, "browser"},
		{"a page of another port", "GET", "/v1/meeting.search", []string{"Sec-Fetch-Site", "same-site"}, 403, "browser"},
		{"a page with an origin", "GET", "/v1/meeting.search", []string{"Origin", "https://evil.example"}, 403, "browser"},
		{"a sandboxed page", "POST", "/v1/chat.post", []string{"Origin", "null"}, 403, "browser"},
		{"two origins", "GET", "/v1/meeting.search", []string{"Origin", "http://localhost:3000", "Origin", "https://evil.example"}, 403,
			"browser"},
		{"a page that is allowed", "GET", "/v1/meeting.search", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "cross-site"}, 200,
			""},
		{"a typed address", "GET", "/v1/meeting.search", []string{"Sec-Fetch-Site", "none"}, 200, ""},
		{"a page's image from an address that browsers do not trust", "GET", "/v1/meeting.search",
			[]string{"Referer", "http://evil.example/page"}, 403, "browser"},
		{"a page of another port", "GET", "/v1/meeting.search", []string{"Referer", "http://127.0.0.1:8081/"}, 403, "browser"},
		{"a page in a file", "GET", "/v1/meeting.search", []string{"Referer", "file:///tmp/page.html"}, 403, "browser"},
		{"two pages", "GET", "/v1/meeting.search", []string{"Referer", "http://127.0.0.1:8080/", "Referer", "http://evil.example/"}, 403,
			"browser"},
		{"a page without an address", "GET", "/v1/meeting.search", []string{"Referer", "about:blank"}, 403, "browser"},
		{"a page of this server", "GET", "/v1/meeting.search", []string{"Referer", "http://127.0.0.1:8080/v1/other"}, 200, ""},
		{"an image of a page that is allowed", "GET", "/v1/meeting.search", []string{"Referer", "http://localhost:3000/page"}, 200, ""},
		{"an offer of HTTP/2", "GET", "/v1/meeting.search", []string{"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "Http2-Settings",
			"AAMAAABkAARAAAAAAAIAAAAA"}, 200, ""},
		{"an offer of TLS", "GET", "/v1/meeting.search", []string{"Connection", "Upgrade", "Upgrade", "TLS/1.2, HTTP/1.1"}, 200, ""},
		{"an offer of something new", "POST", "/v1/chat.post", []string{"Connection", "upgrade", "Upgrade", "websocket2/1"}, 200, ""},
		{"a WebSocket", "GET", "/v1/meeting.search", []string{"Connection", "Upgrade", "Upgrade", "WebSocket"}, 501, "unsupported"},
		{"a WebSocket among offers", "GET", "/v1/meeting.search", []string{"Connection", "Upgrade", "Upgrade", "h2c, websocket/13"}, 501,
			"unsupported"},
		{"the whole server", "OPTIONS", "*", nil, 400, "bad_request"},
		{"the whole server under a rebound name", "OPTIONS", "*", []string{"Host", "evil.example"}, 421, "host"},
		{"TRACE", "TRACE", "/v1/meeting.search", nil, 501, "unsupported"},
		{"an absolute target", "GET", "http://roam.example/v1/meeting.search", nil, 400, "bad_request"},
		{"two slashes", "GET", "//evil.example/v1/meeting.search", nil, 400, "bad_request"},
		{"a method of tomorrow", "PROPFIND", "/v3/whatever", nil, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.req = nil
			w := h.do(t.Context(), tt.method, tt.target, "", tt.header...)
			if w.Code != tt.status || w.Header().Get("Roamproxy-Error") != tt.code {
				t.Errorf("%d %q, want %d %q", w.Code, w.Header().Get("Roamproxy-Error"), tt.status, tt.code)
			}
			if (e.req != nil) != (tt.status == 200) {
				t.Errorf("reached Roam = %v, want %v", e.req != nil, tt.status == 200)
			}
		})
	}
	if e.req = nil; h.do(t.Context(), "CONNECT", "evil.example:443", "").Code != 501 || e.req != nil {
		t.Error("CONNECT is not refused, want 501 without a call")
	}
	w := h.do(t.Context(), "OPTIONS", "/v1/chat.post", "", "Origin", "http://localhost:3000", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "content-type")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "http://localhost:3000" ||
		w.Header().Get("Access-Control-Allow-Headers") != "content-type" {
		t.Errorf("a preflight: %d %v, want 204 for that page and field", w.Code, w.Header())
	}
}

// Every form of an address in Host, on a listener of the loopback interface, of a network, and of a Unix socket. Browsers send
// Sec-Fetch-Site to 127.0.0.0/8 and ::1, and to no other form of a loopback address.
//
// Seen to fail with IPv4-mapped addresses accepted.
func TestAddressesInHost(t *testing.T) {
	for _, tt := range []struct {
		host              string
		loopback, network bool
	}{
		{"127.0.0.1:8080", true, true},
		{"127.0.0.1", true, true},
		{"127.0.0.1.:8080", true, true},
		{"127.255.255.254:8080", true, true},
		{"[::1]:8080", true, true},
		{"[::1]", true, true},
		{"[0:0:0:0:0:0:0:1]:8080", true, true},
		{"localhost:8080", true, true},
		{"LocalHost.:8080", true, true},
		{"app.localhost:8080", true, true},
		{"10.1.2.3:8080", false, true},
		{"[2001:db8::1]:8080", false, true},
		{"8.8.8.8", false, true},
		{"169.254.169.254", false, true},
		{"roamproxy:8080", false, true},
		{"[::ffff:127.0.0.1]:8080", false, false},
		{"[::ffff:7f00:1]:8080", false, false},
		{"[0:0:0:0:0:ffff:7f00:1]", false, false},
		{"[::ffff:0.0.0.0]:8080", false, false},
		{"[::ffff:0:0]:8080", false, false},
		{"[::ffff:10.1.2.3]:8080", false, false},
		{"[::]:8080", false, false},
		{"0.0.0.0:8080", false, false},
		{"[127.0.0.1]:8080", false, false},
		{"::1", false, false},
		{"[localhost]:8080", false, false},
		{"[[::1]]:8080", false, false},
		{"127.0.0.1.evil.example", false, false},
		{"localhost.evil.example:8080", false, false},
		{".", false, false},
	} {
		t.Run(tt.host, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/v1/x", nil)
			r.Host = tt.host
			for name, want := range map[string]bool{"loopback": tt.loopback, "network": tt.network} {
				if err := (guard{reach: Reach{Loopback: name == "loopback"}}).check(r); (err == nil) != want || err != nil && !errors.Is(err, errHost) {
					t.Errorf("a listener of the %s: %v, want it accepted = %v", name, err, want)
				}
			}
			if err := (guard{reach: Reach{Socket: true, Loopback: true}}).check(r); err != nil {
				t.Errorf("a Unix socket: %v, want it accepted", err)
			}
		})
	}
}
