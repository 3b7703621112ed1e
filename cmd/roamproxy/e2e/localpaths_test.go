package e2e

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// A request to the tools' port that is not for Roam's API spends nothing.
//
// Seen to fail before: each was sent to Roam and cost a token.
func TestHealthChecksAndScrapesOfTheToolsPortSpendNothing(t *testing.T) {
	r, roam := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"POST", "/healthz", 405, ""},
		{"GET", "/healthz?verbose", 200, "ok\n"},
		{"GET", "/", 404, "Call paths such as /v1/groups.list"},
		{"GET", "/metrics", 404, "on the admin listener"},
		{"GET", "/favicon.ico", 404, "not a method of Roam"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			req, _ := http.NewRequest(tt.method, "http://"+r.Addr+tt.path, nil)
			res, err := client(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, body, tt.status, tt.body)
			}
		})
	}
	if n := roam.Calls(); n != 0 {
		t.Errorf("Roam saw %d calls, want none", n)
	}
}

// The guard decides on these paths as on all others.
//
// Seen to fail with 404 and 200, and with an answer to a request that was smuggled behind one of them.
func TestTheGuardDecidesOnLocalPaths(t *testing.T) {
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	for _, path := range []string{"/", "/healthz", "/metrics", "/favicon.ico", "/healthz?x"} {
		t.Run(path, func(t *testing.T) {
			for _, tt := range []struct{ request, want string }{
				{"GET " + path + " HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"},
				{"GET " + path + " HTTP/1.1\r\nHost: [::ffff:127.0.0.1]\r\n\r\n", "421"},
				{"GET " + path + " HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", "403"},
				{"GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "501"},
				{"GET http://evil.example" + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"},
			} {
				if answers, err := raw(t, r.Addr, tt.request); err != nil || strings.Join(answers, " ") != tt.want {
					t.Errorf("%q is answered %q (%v), want %s", tt.request, answers, err, tt.want)
				}
			}
			smuggled := "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
				"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
			if answers, err := raw(t, r.Addr, smuggled); err != nil || len(answers) != 1 {
				t.Errorf("a chunked POST %s and what is smuggled behind it are answered %q (%v), want one answer", path, answers, err)
			}
		})
	}
}

// Balancers check with HTTP/1.0 and without Host (HAProxy's httpchk, keepalived), or with an empty Host.
//
// Seen to fail with 421.
func TestHealthChecksWithoutHost(t *testing.T) {
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	for _, addr := range []string{r.Addr, r.AdminAddr} {
		paths := []string{"/healthz", "/readyz", "/metrics"}
		if addr == r.Addr {
			paths = []string{"/healthz", "/v1/groups.list"}
		}
		for _, path := range paths {
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
