package e2e

import (
	"bufio"
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

// marks are the secrets of a test, none of which may be in anything that comes out. Tokens that the simulator makes begin with
// the last two.
func marks() []string {
	return []string{"rmk-marked-api-key", "rpt_marked-tool-token", "marked-admin-token", "marked-client-secret", "marked-old-api-key", "rmr-", "rma-"}
}

// everything is what came out: answers, logs, pages, outputs.
type everything struct{ servertest.Buffer }

func (e *everything) grep(t *testing.T, where string) {
	t.Helper()
	text := e.String()
	for _, mark := range marks() {
		for _, form := range []string{mark, fmt.Sprintf("%x", mark)} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s shows a secret: %q", where, text[max(i-200, 0):min(i+100, len(text))])
			}
		}
	}
	if len(text) < 1000 {
		t.Errorf("%s: only %d bytes came out, so the test looked at nothing", where, len(text))
	}
}

// raw sends bytes and keeps what comes back.
func (e *everything) raw(addr, request string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, request)
	io.Copy(e, conn)
}

// marked is a process in front of a simulated Roam, with every secret that there is.
type marked struct {
	cmd         *exec.Cmd
	addr, admin string
	said        everything // by the process
	ended       chan struct{}
}

func (m *marked) start(t *testing.T, config string) {
	t.Helper()
	m.cmd = exec.Command(program(t), "serve", "-config", config)
	m.cmd.Env = append(os.Environ(), "GOTRACEBACK=all", "MARKED_KEY="+marks()[0])
	stderr, err := m.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.ended = make(chan struct{})
	served := make(chan struct{})
	go func() {
		defer close(m.ended)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			m.said.Write([]byte(line))
			if strings.Contains(line, `"msg":"serving"`) {
				close(served)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-served:
	case <-m.ended:
		t.Fatalf("it did not start: %s", m.said.String())
	}
}

// Seen to fail with Roam's errors handed on as they are.
func TestNothingLeaks(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{Rate: 1000, Burst: 1000, Keys: []string{marks()[0]}})
	defer roam.Close()
	server := roam.NewOAuth(roamtest.OAuthOptions{ClientID: "app", ClientSecret: "marked-client-secret"})
	pages := httptest.NewServer(server)
	defer pages.Close()
	dir, free := t.TempDir(), freePorts(t, 2)
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := put("c.yaml", fmt.Sprintf(`
listen: %s
admin: {listen: %q, token_file: %s, debug: true}
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
`, free[0], free[1], put("admin", "marked-admin-token"), roam.URL, dir, put("old", "marked-old-api-key"), server.Grant(), pages.URL,
		sha256.Sum256([]byte("rpt_marked-tool-token")), sha256.Sum256([]byte("rpt_marked-tool-token-2")), sha256.Sum256([]byte("rpt_marked-tool-token-3"))))
	var m marked
	m.start(t, config)
	defer m.cmd.Process.Kill()
	m.addr, m.admin = free[0], free[1]
	var out everything
	call := func(method, path, token, body string) {
		out.raw(m.addr, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, path, token, len(body), body))
	}
	echoes := `{"ok":false,"error":"bad ` + marks()[0] + `"}`
	for _, fault := range []*roamtest.Fault{
		nil, ptr(roamtest.Status(400, echoes)), ptr(roamtest.Status(500, echoes, "X-Echo", "Bearer "+marks()[0])), ptr(roamtest.Status(302, "", "Location", "https://evil.example/?t="+marks()[0])),
		ptr(roamtest.ResetBefore().Times(2)), ptr(roamtest.ResetInBody()), ptr(roamtest.Truncate()), ptr(roamtest.Hang()), ptr(roamtest.Throttle("0")),
	} {
		for _, method := range []string{"GET", "POST"} {
			if fault != nil {
				roam.Script(*fault)
			}
			call(method, "/v1/"+map[string]string{"GET": "user.list", "POST": "chat.post"}[method], marks()[1], `{"chat":"C-1"}`)
		}
	}
	call("GET", "/v1/user.list", marks()[1], "")                          // kept
	call("GET", "/v1/user.list", marks()[1]+"-2", "")                     // Roam refuses the key
	call("POST", "/v1/chat.post", marks()[1]+"-2", "{}")                  // and is not asked again
	server.Fail(500)                                                      // repeats what was sent to it
	call("GET", "/v1/meeting.search", marks()[1]+"-3", "")                // by OAuth
	call("GET", "/v1/meeting.search", "wrong-"+marks()[1], "")            // not ours
	call("POST", "/v1/item.upload", marks()[1], strings.Repeat("x", 2e3)) // too large
	call("GET", "/v1/x\"\\n\x01", marks()[1], "")
	server.Revoke()
	call("GET", "/v1/meeting.search", marks()[1]+"-3", "")
	out.raw(m.addr, "GET /v1/user.list HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer "+marks()[1]+"\r\nConnection: close\r\n\r\n")
	out.raw(m.addr, "GET http://"+marks()[1]+"@evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	out.raw(m.addr, "GET / HTTP/1.1\r\nAuthorization: "+marks()[1]+"\r\n broken\r\n\r\n")
	out.grep(t, "an answer")

	var shown everything
	for _, page := range []string{"/", "/metrics", "/readyz?verbose", "/healthz", "/api/status", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/allocs"} {
		for _, token := range []string{marks()[2], "wrong"} {
			shown.raw(m.admin, "GET "+page+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n")
		}
	}
	shown.grep(t, "an admin page")
	for _, args := range [][]string{{"check", "-config", config}, {"check", "-config", put("bad.yaml", "upstreem: {}\n"+readFile(t, config))}} {
		_, o, e := invoke(t, []string{"MARKED_KEY=" + marks()[0]}, args...)
		var printed everything
		printed.Write([]byte(o + e + strings.Repeat(" ", 1000)))
		printed.grep(t, strings.Join(args[:1], " "))
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.cmd.Process.Pid))
	m.said.Write(line)
	m.cmd.Process.Signal(syscall.SIGQUIT) // it dies, and tells what every goroutine was doing
	<-m.ended
	m.cmd.Wait()
	if !strings.Contains(m.said.String(), "goroutine ") {
		t.Error("no goroutine is shown at the end")
	}
	m.said.grep(t, "the process")
	if cores, _ := filepath.Glob("core*"); len(cores) > 0 {
		t.Errorf("it leaves %v", cores)
	}
}

func ptr[T any](v T) *T { return &v }

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// freePorts are addresses on which nobody listens at present.
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
