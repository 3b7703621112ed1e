package e2e

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// The admin pages have the same guard as Roam's paths, and need the token.
//
// Seen to fail with any token accepted.
func TestAdminPagesRefuseStrangers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	os.WriteFile(path, []byte("first\n"), 0o600)
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard,
		func(c *config.Config) { c.Admin.TokenFile, c.Hosts = path, []string{"proxy.example"} })
	const local, first = "Host: localhost\r\n", "Authorization: Bearer first\r\n"
	for _, tt := range []struct {
		name, method, path, header string
		status                     int
	}{
		{"anybody, for metrics", "GET", "/metrics", local, 200},
		{"anybody, for the page", "GET", "/", local, 401},
		{"the token", "GET", "/", local + first, 200},
		{"the token as password", "GET", "/", local + "Authorization: Basic OmZpcnN0\r\n", 200},
		{"two tokens", "GET", "/", local + first + first, 401},
		{"an empty token", "GET", "/", local + "Authorization: Bearer \r\n", 401},
		{"a rebound name", "GET", "/metrics", "Host: evil.example\r\n", 421},
		{"a name of our own", "GET", "/metrics", "Host: proxy.example:9190\r\n", 200},
		{"another site's page", "GET", "/metrics", local + "Sec-Fetch-Site: cross-site\r\n", 403},
		{"an image from an address that browsers do not trust", "GET", "/metrics", "Host: [::ffff:7f00:1]:9190\r\n", 421},
		{"an image from an address of another machine", "GET", "/metrics", "Host: 10.1.2.3:9190\r\n", 421},
		{"another site's page, without a mark", "GET", "/metrics", local + "Referer: http://evil.example/\r\n", 403},
		{"a balancer's check", "GET", "/healthz", "Host:\r\n", 200},
		{"a balancer's scrape", "GET", "/metrics", "Host:\r\n", 200},
		{"an offer of TLS", "GET", "/metrics", local + "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n", 200},
		{"an offer of HTTP/2", "GET", "/healthz", local + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" +
			"HTTP2-Settings: AAMAAABkAAQAAP__\r\n", 200},
		{"a WebSocket", "GET", "/", local + "Connection: Upgrade\r\nUpgrade: websocket\r\n" + first, 501},
		{"the whole server", "OPTIONS", "*", local, 400},
		{"the whole server, of a page", "OPTIONS", "*", "Host: evil.example\r\n", 421},
		{"a form of another site's", "POST", "/api/resume", local + "Origin: https://evil.example\r\n" + first, 403},
		{"a form of a sandboxed page", "POST", "/api/resume", local + first + "Origin: null\r\nRoamproxy-Admin: yes\r\n", 403},
		{"a form", "POST", "/api/resume", local + first, 403},
		{"a program without the token", "POST", "/api/resume", local + "Roamproxy-Admin: yes\r\n", 401},
		{"a program", "POST", "/api/purge?match=/v1/*", local + first + "Roamproxy-Admin: yes\r\n", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, r.AdminAddr, tt.method+" "+tt.path+" HTTP/1.1\r\n"+tt.header+"Content-Length: 0\r\nConnection: close\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != tt.status {
				t.Errorf("got %v (%v), want %d", res, err, tt.status)
			}
		})
	}
}
