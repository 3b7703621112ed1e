package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// loginRun is a login that runs against a simulated Roam.
type loginRun struct {
	roam   *roamtest.Server
	server *roamtest.OAuth
	config string
	state  string
	page   string // address of the page to open
	out    *servertest.Buffer
	keys   *io.PipeWriter // the keyboard
	ended  chan error
}

func login(t *testing.T, o roamtest.OAuthOptions) *loginRun {
	t.Helper()
	l := &loginRun{roam: roamtest.NewServer(roamtest.Options{}), state: t.TempDir(), out: &servertest.Buffer{}, ended: make(chan error, 1)}
	t.Cleanup(l.roam.Close)
	l.server = l.roam.NewOAuth(o)
	pages := httptest.NewServer(l.server)
	t.Cleanup(pages.Close)
	l.config = filepath.Join(t.TempDir(), "c.yaml")
	os.WriteFile(l.config, []byte(`
credentials:
  - name: alice
    oauth: {client_id: app, client_secret: app-secret, token_url: "`+pages.URL+`/oauth/token"}
state_dir: `+l.state+"\nupstream: {url: \""+l.roam.URL+"\"}\n"), 0o600)
	in, keys := io.Pipe()
	l.keys = keys
	t.Cleanup(func() { keys.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	go func() {
		l.ended <- loginCmd{Credential: "alice", Config: l.config, Listen: "127.0.0.1:0",
			Scope: []string{"a", "b"}}.Run(&program{ctx, func(string) string { return "" }, in, l.out, io.Discard})
	}()
	for deadline := time.Now().Add(10 * time.Second); l.page == "" && time.Now().Before(deadline); <-time.After(time.Millisecond) {
		l.page = regexp.MustCompile(`http://\S+/oauth/authorize\S+`).FindString(l.out.String())
	}
	if l.page == "" {
		t.Fatal("no page to open is shown")
	}
	return l
}

// agree opens the page, and returns the address to which the browser is redirected.
func (l *loginRun) agree(t *testing.T) *url.URL {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	res, err := c.Get(l.page)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func openPage(t *testing.T, u string) int {
	t.Helper()
	status, _ := do(t, "GET", u)
	return status
}

func TestALoginInABrowser(t *testing.T) {
	l := login(t, roamtest.OAuthOptions{})
	page, _ := url.Parse(l.page)
	if q := page.Query(); q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 20 || q.Get("scope") != "a b" ||
		q.Get("redirect_uri") == "" {
		t.Errorf("the page to open is %s", l.page)
	}
	back := l.agree(t)
	foreign := *back
	foreign.RawQuery = url.Values{"state": {"mine"}, "code": {"stolen"}}.Encode()
	if got := openPage(t, foreign.String()); got != 400 {
		t.Errorf("a page with another state is answered %d, want 400", got)
	}
	if got := openPage(t, strings.Replace(back.String(), "/callback", "/", 1)); got != 404 {
		t.Errorf("another path is answered %d, want 404", got)
	}
	if got := openPage(t, back.String()); got != 200 {
		t.Errorf("the browser comes back and is answered %d, want 200", got)
	}
	if err := <-l.ended; err != nil {
		t.Fatal(err)
	}
	if strings.Contains(l.out.String(), "rmr-") || strings.Contains(l.out.String(), "rma-") || strings.Contains(l.out.String(), "app-secret") {
		t.Errorf("a secret is shown: %s", l.out)
	}
	if c, err := http.Get(back.String()); err == nil {
		c.Body.Close()
		t.Error("it still listens")
	}
	c, err := config.Load(l.config, environ{}.get, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	r, err := server.Start(c.Config, server.NewLog(c.Log, io.Discard), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop(config.Limits{ShutdownGrace: config.Duration(time.Second)})
	if got, body := do(t, "GET", "http://"+r.Addr+"/v1/token.info"); got != 200 {
		t.Errorf("a call with what was obtained is answered %d %s", got, body)
	}
	if got, body := do(t, "GET", "http://"+r.AdminAddr+"/readyz"); got != 200 {
		t.Errorf("readyz: %d %s", got, body)
	}
}

func TestALoginOverSSH(t *testing.T) {
	l := login(t, roamtest.OAuthOptions{})
	back := l.agree(t)
	io.WriteString(l.keys, "\nwhat?\nhttp://127.0.0.1/callback?state=x&code=y\n "+back.String()+" \n")
	if err := <-l.ended; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(l.out.String(), "That is not the address"); n != 2 {
		t.Errorf("two pasted lines were wrong, %d were reported: %s", n, l.out)
	}
	if left, err := os.ReadFile(filepath.Join(l.state, "oauth-alice.json")); err != nil || !bytes.Contains(left, []byte("rmr-")) {
		t.Errorf("it leaves %s (%v)", left, err)
	}
}

func TestALoginThatIsRefused(t *testing.T) {
	denied := login(t, roamtest.OAuthOptions{Deny: true})
	io.WriteString(denied.keys, denied.agree(t).String()+"\n")
	if err := <-denied.ended; err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("a user who refuses: %v", err)
	}
	away := login(t, roamtest.OAuthOptions{})
	away.server.Fail(500)
	if got := openPage(t, away.agree(t).String()); got != 502 {
		t.Errorf("the browser is answered %d, want 502", got)
	}
	if err := <-away.ended; err == nil || !strings.Contains(err.Error(), "answered 500") || strings.Contains(err.Error(), "app-secret") {
		t.Errorf("the token endpoint fails: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(away.state, "*.new")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

func TestALoginThatCannotBegin(t *testing.T) {
	config := filepath.Join(t.TempDir(), "c.yaml")
	os.WriteFile(config, []byte(`credentials: [{name: alice, oauth: {client_id: app, client_secret: app-secret}}]
state_dir: `+t.TempDir()), 0o600)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no such credential", []string{"bob"}, `no credential "bob" with oauth`},
		{"an address that others reach", []string{"-listen", "0.0.0.0:0", "alice"}, "can be reached from other machines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := invoke(t, nil, append([]string{"login", "-config", config}, tt.args...)...)
			if code != exitError || !strings.Contains(err, tt.want) {
				t.Errorf("exit %d, %s%s; want %d and %q", code, out, err, exitError, tt.want)
			}
		})
	}
}
