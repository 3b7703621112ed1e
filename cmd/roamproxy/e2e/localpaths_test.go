package e2e

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"roamproxy/proxy/roamtest"
)

// What comes to the tools' port and is no method of Roam's spends nothing.
//
// Seen to fail before: each was sent to Roam and cost a token.
func TestHealthChecksAndScrapesOfTheToolsPortSpendNothing(t *testing.T) {
	r, roam := serving(t, roamtest.Options{}, io.Discard, nil)
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, "ok\n"}, {"HEAD", "/healthz", 200, ""}, {"POST", "/healthz", 405, ""},
		{"GET", "/", 404, "call paths such as /v1/groups.list"}, {"GET", "/metrics", 404, "on the admin listener"}, {"GET", "/favicon.ico", 404, "no method of Roam's"},
		{"GET", "/healthz?verbose", 200, "ok\n"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			req, _ := http.NewRequest(tt.method, "http://"+r.Addr+tt.path, nil)
			res, err := client(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("%d %s, want %d %s", res.StatusCode, body, tt.status, tt.body)
			}
		})
	}
	if n := roam.Calls(); n != 0 {
		t.Errorf("Roam saw %d calls, want none", n)
	}
}

// Balancers check with HTTP/1.0 and without Host (HAProxy's httpchk, keepalived), or with an empty Host.
//
// Seen to fail with 421.
func TestHealthChecksWithoutHost(t *testing.T) {
	r, _ := serving(t, roamtest.Options{}, io.Discard, nil)
	for _, addr := range []string{r.Addr, r.AdminAddr} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			if addr == r.Addr && path != "/healthz" {
				continue // these are the admin listener's
			}
			for _, end := range []string{" HTTP/1.0\r\n\r\n", " HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"} {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				io.WriteString(conn, "GET "+path+end)
				answer, _ := io.ReadAll(conn)
				conn.Close()
				if !strings.Contains(string(answer[:min(len(answer), 20)]), " 200 OK") {
					t.Errorf("%s %q is answered %.40q, want 200", path, end, answer)
				}
			}
		}
	}
}
