package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// marks are the secrets of a test, none of which may be in any output. Tokens of the simulator begin with the last two.
func marks() []string {
	return []string{
		"rmk-marked-api-key", "rpt_marked-tool-token", "marked-admin-token", "marked-client-secret", "marked-old-api-key", "rmr-", "rma-",
	}
}

// output is what a process shows: answers, logs, pages.
type output struct{ servertest.Buffer }

// expectNoMark checks that no secret is shown. The output must contain each of seen, or the test looked at nothing.
func (o *output) expectNoMark(t *testing.T, seen ...string) {
	t.Helper()
	text := o.String()
	for _, mark := range marks() {
		for _, form := range []string{mark, fmt.Sprintf("%x", mark)} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("a secret is shown: %q", text[max(i-200, 0):min(i+100, len(text))])
			}
		}
	}
	for _, want := range seen {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the output, so the test looked at nothing: %d bytes", want, len(text))
		}
	}
}

// raw sends bytes and keeps the answer.
func (o *output) raw(addr, request string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, request)
	io.Copy(o, conn)
}

// marked is a process in front of a simulated Roam, with every secret that there is.
type marked struct {
	*process
	roam   *roamtest.Server
	oauth  *roamtest.OAuth
	config string // the file
	dir    string // of the file
}

func startMarked(t *testing.T) *marked {
	t.Helper()
	m := &marked{roam: roamtest.NewServer(roamtest.Options{Rate: 1000, Burst: 1000, Keys: []string{marks()[0]}}), dir: t.TempDir()}
	t.Cleanup(m.roam.Close)
	m.oauth = m.roam.NewOAuth(roamtest.OAuthOptions{ClientID: "app", ClientSecret: "marked-client-secret"})
	pages := httptest.NewServer(m.oauth)
	t.Cleanup(pages.Close)
	m.config = m.file(t, "c.yaml", fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0", token_file: %s, debug: true}
upstream: {url: %q, timeout: 1s}
state_dir: %s
log: {level: debug}
quotas: [{name: roam, rate: 1000, burst: 1000, jitter: 0s}]
credentials:
  - {name: org, api_key: "${MARKED_KEY}"}
  - {name: dead, api_key_file: %s}
  - name: alice
    oauth: {client_id: app, client_secret: marked-client-secret, refresh_token: %s, token_url: "%s/oauth/token"}
tools:
  - {name: bot, token_sha256: %x}
  - {name: dead, token_sha256: %x, credential: dead}
  - {name: alice, token_sha256: %x, credential: alice}
limits: {max_body: 1KiB, queue_bytes: 1MiB}
`, m.file(t, "admin", "marked-admin-token"), m.roam.URL, m.dir, m.file(t, "old", "marked-old-api-key"), m.oauth.Grant(), pages.URL,
		sha256.Sum256([]byte("rpt_marked-tool-token")), sha256.Sum256([]byte("rpt_marked-tool-token-2")),
		sha256.Sum256([]byte("rpt_marked-tool-token-3"))))
	cmd := exec.Command(program(t), "serve", "-config", m.config)
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all", "MARKED_KEY="+marks()[0])
	m.process = begin(t, cmd)
	return m
}

func (m *marked) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers makes calls of every outcome, and returns what they are answered.
func (m *marked) answers() *output {
	var out output
	addr := strings.TrimPrefix(m.base, "http://")
	call := func(method, path, token, body string) {
		out.raw(addr, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n"+
			"Content-Length: %d\r\n\r\n%s", method, path, token, len(body), body))
	}
	echoes := `{"ok":false,"error":"bad ` + marks()[0] + `"}`
	for i, faults := range [][]roamtest.Fault{
		nil, {roamtest.Status(400, echoes)}, {roamtest.Status(500, echoes, "X-Echo", "Bearer "+marks()[0])},
		{roamtest.Status(302, "", "Location", "https://evil.example/?t="+marks()[0])}, {roamtest.ResetBefore().Times(2)},
		{roamtest.ResetInBody()}, {roamtest.Truncate()}, {roamtest.Hang()}, {roamtest.Throttle("0")},
	} {
		m.roam.Script(faults...)
		call("GET", fmt.Sprint("/v1/user.list?limit=", i+1), marks()[1], "") // not cached
		m.roam.Script(faults...)
		call("POST", "/v1/chat.post", marks()[1], fmt.Sprintf(`{"chat":"C-%d"}`, i)) // no repeat of a write of unknown outcome
	}
	call("GET", "/v1/user.list?limit=1", marks()[1], "")                  // cached
	call("GET", "/v1/user.list", marks()[1]+"-2", "")                     // Roam refuses the key
	call("POST", "/v1/chat.post", marks()[1]+"-2", "{}")                  // and is not asked again
	m.oauth.Fail(500)                                                     // repeats what was sent to it
	call("GET", "/v1/meeting.search", marks()[1]+"-3", "")                // by OAuth
	call("GET", "/v1/meeting.search", "wrong-"+marks()[1], "")            // an unknown token
	call("POST", "/v1/item.upload", marks()[1], strings.Repeat("x", 2e3)) // too large
	call("GET", "/v1/x\"\\n\x01", marks()[1], "")
	m.oauth.Revoke()
	call("GET", "/v1/meeting.search", marks()[1]+"-3", "")
	out.raw(addr, "GET /v1/user.list HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer "+marks()[1]+"\r\nConnection: close\r\n\r\n")
	out.raw(addr, "GET http://"+marks()[1]+"@evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	out.raw(addr, "GET / HTTP/1.1\r\nAuthorization: "+marks()[1]+"\r\n broken\r\n\r\n")
	return &out
}

// pages reads the admin pages, with the token and with a wrong one.
func (m *marked) pages() *output {
	var out output
	for _, page := range []string{
		"/", "/metrics", "/readyz?verbose", "/healthz", "/api/status", "/debug/pprof/", "/debug/pprof/goroutine?debug=2",
		"/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/allocs",
	} {
		for _, token := range []string{marks()[2], "wrong"} {
			out.raw(strings.TrimPrefix(m.admin, "http://"), "GET "+page+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+
				"\r\nConnection: close\r\n\r\n")
		}
	}
	return &out
}

// end has the process die with a dump of its goroutines, and returns its command line and all that it logged.
func (m *marked) end(t *testing.T) *output {
	t.Helper()
	var out output
	io.WriteString(&out, readFile(t, fmt.Sprintf("/proc/%d/cmdline", m.Process.Pid)))
	m.Process.Signal(syscall.SIGQUIT)
	m.Wait()
	io.WriteString(&out, m.said.String())
	if cores, _ := filepath.Glob("core*"); len(cores) > 0 {
		t.Errorf("it leaves %v", cores)
	}
	return &out
}

// Seen to fail with Roam's errors passed on as they are.
func TestNoOutputHasASecret(t *testing.T) {
	m := startMarked(t)
	answers, pages := m.answers(), m.pages()
	check := func(file string) *output {
		var out output
		_, stdout, stderr := invoke(t, []string{"MARKED_KEY=" + marks()[0]}, "check", "-config", file)
		io.WriteString(&out, stdout+stderr)
		return &out
	}
	good, bad := check(m.config), check(m.file(t, "bad.yaml", "upstreem: {}\n"+readFile(t, m.config)))
	log := m.end(t)
	for _, tt := range []struct {
		name string
		out  *output
		seen []string
	}{
		{"answers", answers, []string{"; hit; ", " 200 OK", " 302 Found", " 400 ", " 401 ", " 413 ", " 421 ", " 500 ", " 502 ", " 504 "}},
		{"admin pages", pages, []string{"roamproxy_requests_total{", `"quotas":`, "goroutine ", "heap profile", " 401 "}},
		{"check", good, []string{"client_secret: ", "api_key: ", "token_sha256: "}},
		{"check of a bad file", bad, []string{"upstreem"}},
		{"log and command line", log, []string{"goroutine ", `"level":"debug"`, `"status":500`, "serve\x00-config"}},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.out.expectNoMark(t, tt.seen...) })
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// freePorts returns addresses on which no program listens at present.
func freePorts(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}
