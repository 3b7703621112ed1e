package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// reloadable is a roamproxy with a configuration file that tests change while it runs.
type reloadable struct {
	*server.Server
	file string
	head string
	roam *roamtest.Server
	log  *servertest.Buffer
}

// startReloadable starts roamproxy with a file of these lines besides those that every test needs.
func startReloadable(t *testing.T, options roamtest.Options, lines string) *reloadable {
	t.Helper()
	c := &reloadable{file: filepath.Join(t.TempDir(), "roamproxy.yaml"), roam: roamtest.NewServer(options), log: &servertest.Buffer{}}
	t.Cleanup(c.roam.Close)
	// Calls in flight may arrive late and together on a machine that stands still. Tests hold back more tokens than these.
	c.head = fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nupstream: {url: %s, max_in_flight: 4}\nstate_dir: %s\n",
		c.roam.URL, t.TempDir())
	c.write(t, lines)
	read := func() (*config.Loaded, error) {
		return config.Load(c.file, func(name string) string { return map[string]string{"ROAM_API_KEY": roamtest.DefaultKey}[name] }, nil)
	}
	l, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if c.Server, err = server.Start(l.Config, server.NewLog(l.Log, c.log), read); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.Server != nil {
			c.Stop(config.Limits{ShutdownGrace: config.Duration(2 * time.Second)})
		}
	})
	return c
}

func (r *reloadable) write(t *testing.T, lines string) {
	t.Helper()
	next := r.file + ".new"
	if err := os.WriteFile(next, []byte(r.head+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, r.file); err != nil {
		t.Fatal(err)
	}
}

// postReload posts to /-/reload and returns the status and the mistakes of the answer.
func (r *reloadable) postReload(t *testing.T, tools *http.Client) (status int, mistakes []string) {
	t.Helper()
	req, _ := http.NewRequest("POST", "http://"+r.AdminAddr+"/-/reload", nil)
	req.Header.Set("Roamproxy-Admin", "yes")
	res, err := tools.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Mistakes []string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer.Mistakes
}

// reloads writes these lines and reloads them, which must succeed.
func (r *reloadable) reloads(t *testing.T, tools *http.Client, lines string) {
	t.Helper()
	r.write(t, lines)
	if status, mistakes := r.postReload(t, tools); status != 200 {
		t.Fatalf("the reload was answered %d: %q", status, mistakes)
	}
}

func TestAReloadDropsNoConnection(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	opened := countConnections(t)
	for i := range 5 {
		get(t, opened.client, "http://"+c.Addr+"/v1/groups.list")
		c.reloads(t, client(t), fmt.Sprintf("browsers: [http://localhost:%d]\n", 3000+i))
	}
	get(t, opened.client, "http://"+c.Addr+"/v1/groups.list")
	if got := opened.count(); got != 1 {
		t.Errorf("a tool opened %d connections during five reloads, want 1", got)
	}
}

// Seen to fail with a metric that reports success.
func TestAReloadOfABadFileChangesNothing(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	tools := client(t)
	before := c.Config()
	c.write(t, "browers: []\nquotas: [{name: roam, rate: -1}]\nlimits: {max_body: 0}\n")
	status, mistakes := c.postReload(t, tools)
	if status != 400 || len(mistakes) != 3 || !strings.Contains(mistakes[0], "roamproxy.yaml:5: browers") {
		t.Errorf("the answer was %d with %q, want 400 with three mistakes and their lines", status, mistakes)
	}
	for _, m := range mistakes {
		if !strings.Contains(c.log.String(), strings.ReplaceAll(m, `"`, `\"`)) {
			t.Errorf("the log does not say %s", m)
		}
	}
	if _, exposed := get(t, tools, "http://"+c.AdminAddr+"/metrics"); !strings.Contains(exposed, "roamproxy_config_last_reload_successful 0") {
		t.Error("the metric does not say that the reload failed")
	}
	if !reflect.DeepEqual(c.Config(), before) || post(tools, "http://"+c.Addr) != 200 {
		t.Error("the old configuration is not in force any more, or calls fail")
	}
	c.reloads(t, tools, "")
	if _, exposed := get(t, tools, "http://"+c.AdminAddr+"/metrics"); !strings.Contains(exposed, "roamproxy_config_last_reload_successful 1") {
		t.Error("the metric does not say that the next reload succeeded")
	}
}

func TestAReloadNamesSettingsThatNeedARestart(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	before := c.Config()
	c.head = fmt.Sprintf("listen: 127.0.0.1:1\nadmin: {listen: 127.0.0.1:2}\nupstream: {url: %s}\nstate_dir: /elsewhere\n", c.roam.URL)
	c.write(t, "limits: {read_header_timeout: 1s, idle_timeout: 1s}\n")
	status, mistakes := c.postReload(t, client(t))
	if status != 400 || len(mistakes) != 5 || !strings.Contains(mistakes[0], "restart roamproxy") || !reflect.DeepEqual(c.Config(), before) {
		t.Errorf("got %d %q, want 400, five settings that need a restart, and the old configuration", status, mistakes)
	}
}

func TestAReloadPutsToolsAndLogLevelIntoForce(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	tools, base := client(t), "http://"+c.Addr
	if post(tools, base) != 200 {
		t.Fatal("without tools a call was not answered 200")
	}
	token := strings.Repeat("t", 40)
	file := filepath.Join(t.TempDir(), "token")
	os.WriteFile(file, []byte(token), 0o600)
	c.reloads(t, tools, "tools: [{name: bot, token_file: "+file+"}]\n")
	if got := post(tools, base); got != 401 {
		t.Errorf("a caller without a token was answered %d, want 401", got)
	}
	if res, _ := get(t, tools, base+"/v1/groups.list", "Authorization", "Bearer "+token); res.StatusCode != 200 {
		t.Errorf("the new tool was answered %d, want 200", res.StatusCode)
	}
	os.WriteFile(file, []byte("another"), 0o600)
	lines := func() int { return strings.Count(c.log.String(), `"msg":"call"`) }
	eventually(t, "a line for each of three calls", func() bool { return lines() == 3 })
	c.reloads(t, tools, "tools: [{name: bot, token_file: "+file+"}]\nlog: {level: error}\n")
	if res, _ := get(t, tools, base+"/v1/groups.list", "Authorization", "Bearer "+token); res.StatusCode != 401 {
		t.Errorf("the replaced token was answered %d, want 401", res.StatusCode)
	}
	if lines() != 3 {
		t.Errorf("want a line for each call but the last, which came after log.level: error:\n%s", c.log)
	}
}

// Seen to fail with a cache that is kept when the secret changes.
func TestAReplacedCredentialServesNothingThatTheOldOneFetched(t *testing.T) {
	c := startReloadable(t, roamtest.Options{Keys: []string{roamtest.DefaultKey, "second"}}, "")
	tools, list := client(t), "http://"+c.Addr+"/v1/groups.list"
	get(t, tools, list)
	c.reloads(t, tools, "browsers: [http://localhost:3000]\n")
	if res, _ := get(t, tools, list); !strings.Contains(res.Header.Get("Cache-Status"), "hit") {
		t.Errorf("after a reload that changes no credential Cache-Status is %s, want a hit", res.Header.Get("Cache-Status"))
	}
	c.reloads(t, tools, "credentials: [{name: org, api_key: second}]\n")
	if res, _ := get(t, tools, list); strings.Contains(res.Header.Get("Cache-Status"), "hit") || res.StatusCode != 200 {
		t.Errorf("with the new credential a read is answered %d %s, want 200 and a miss", res.StatusCode, res.Header.Get("Cache-Status"))
	}
}

func TestReloadNeedsAHeaderThatNoFormCanSend(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	res, err := client(t).Post("http://"+c.AdminAddr+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("a POST without the header was answered %d, want 403", res.StatusCode)
	}
}

// connectionCounter counts the connections that a client opens.
type connectionCounter struct {
	client *http.Client
	mu     sync.Mutex
	opened int
}

func countConnections(t *testing.T) *connectionCounter {
	c := &connectionCounter{client: client(t)}
	transport := c.client.Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c.mu.Lock()
		c.opened++
		c.mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return c
}

func (c *connectionCounter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

func TestAHangupReloads(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	file := filepath.Join(t.TempDir(), "roamproxy.yaml")
	os.WriteFile(file, nil, 0o600)
	t.Setenv("ROAMPROXY_CONFIG", file)
	r := launch(t, roam.URL, t.TempDir())
	os.WriteFile(file, fmt.Appendf(nil, "tools: [{name: bot, token_sha256: %064x}]\n", 1), 0o600)
	r.Process.Signal(syscall.SIGHUP)
	tools := client(t)
	eventually(t, "a caller without a token is answered 401", func() bool {
		res, _ := get(t, tools, r.base+"/v1/groups.list")
		return res.StatusCode == 401
	})
	r.Process.Signal(syscall.SIGTERM)
	if err := r.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit 0", err)
	}
}

// The reload command reloads the running process, and shows the mistakes of its file.
func TestTheReloadCommand(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	file := filepath.Join(t.TempDir(), "roamproxy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cache: {max_size: 8MiB}\n")
	r := launch(t, roam.URL, t.TempDir(), "ROAMPROXY_CONFIG="+file)
	for _, tt := range []struct {
		name, text string
		code       int
		want       string
	}{
		{"a good file", "cache: {max_size: 9MiB}\n", 0, `{"reloaded":true}`},
		{"a bad one", "cahce: {}\n", 1, "cahce: there is no such key; did you mean cache?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(tt.text)
			code, out, err := invoke(t, []string{"ROAMPROXY_CONFIG=" + file}, "reload", "--url", r.admin)
			if code != tt.code || !strings.Contains(out+err, tt.want) {
				t.Errorf("exit %d, %s%s; want %d and %q", code, out, err, tt.code, tt.want)
			}
		})
	}
}
