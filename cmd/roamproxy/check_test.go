package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roamproxy/proxy/roamtest"
)

// The last line of check is the result; with -q it is the only one.
func TestCheckEndsWithAResult(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "roamproxy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sum := strings.Repeat("ab", 32)
	good, bad, worse := file("tools: [{name: a, token_sha256: "+sum+"}]\n"), file("listn: x\n"), file("listn: x\nopne: true\n")
	key := file("credentials: [{name: org, api_key_file: /nonexistent/key}]\n")
	for _, tt := range []struct {
		name  string
		args  []string
		code  int
		last  string
		whole bool // the result is the only line
	}{
		{"all is well", []string{"-config", good}, exitOK, "ok: 1 tool, 1 quota, " + good, false},
		{"quiet", []string{"-q", "-config", good}, exitOK, "ok: 1 tool, 1 quota, " + good, true},
		{"no file", []string{"-q"}, exitOK, "ok: 0 tools, 1 quota, no file", true},
		{"a mistake", []string{"-config", bad}, exitError, "roamproxy: 1 error", false},
		{"two, quiet", []string{"-q", "-config", worse}, exitError, "roamproxy: 2 errors", true},
		{"a key on another machine", []string{"-q", "-no-files", "-config", key}, exitOK, "ok: 0 tools, 1 quota, " + key, true},
		{"a key that is not there", []string{"-q", "-config", key}, exitError, "roamproxy: 1 error", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := invoke(t, environ{"HOME": t.TempDir(), "ROAM_API_KEY": "rmk-x"}, append([]string{"check"}, tt.args...)...)
			said := strings.TrimRight(out+err, "\n")
			last := said[strings.LastIndex(said, "\n")+1:]
			if code != tt.code || last != tt.last || tt.whole && said != tt.last {
				t.Errorf("exit %d,\n%s\nwant %d, ending with %q", code, said, tt.code, tt.last)
			}
		})
	}
}

func TestCheckExplainsARoute(t *testing.T) {
	env := environ{"HOME": t.TempDir(), "ROAM_API_KEY": "rmk-x"}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("cache: {rules: [{match: GET /v*/*.list, page_size: 100}]}\nroutes: [{match: POST /v1/chat.*, "+
		"urgency: 2}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		route string
		want  []string
	}{
		{"GET /v1/user.list", []string{"cached          30s, stale 10m (rule GET /v*/*.list)", "pages           Roam is asked for 100",
			"invalidated by  POST user.*, SCIM Users", "timeout         30s", "longest wait    1m in the queue of quota roam"}},
		{"GET /v1/user.list?expand=status", []string{"cached          never (rule GET /v*/*.list)"}},
		{"POST /v1/chat.typing", []string{"cached          never", "urgency         2", "superseded      of queued calls with the same chatId"}},
		{"POST /mcp", []string{"timeout         2m", "longest wait    50s"}},
		{"POST /v1/group.rename", []string{"invalidates     group.*, chat.list, conversation.list"}},
	} {
		t.Run(tt.route, func(t *testing.T) {
			code, out, err := invoke(t, env, "check", "-config", file, "-route", tt.route)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
	if code, _, err := invoke(t, env, "check", "-route", "user.list"); code == 0 || !strings.Contains(err, "want METHOD /path") {
		t.Errorf("a route that is none: exit %d, %s", code, err)
	}
}

func TestCheckPrintsTheRulesInForce(t *testing.T) {
	env := environ{"HOME": t.TempDir(), "ROAM_API_KEY": "rmk-x"}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("cache: {rules: [{match: GET /v1/team.list, ttl: origin}, {match: GET /v1/x.list, ttl: 0}]}"),
		0o600); err != nil {
		t.Fatal(err)
	}
	_, out, _ := invoke(t, env, "check", "-config", file)
	before := -1
	for _, want := range []string{
		"#   GET /v1/team.list                    by Roam's headers        # cache.rules[0]\n",
		"#   GET /v1/x.list                       never                    # cache.rules[1]\n",
		"#   GET /v*/chat.history                 5s, stale 1m             # built in\n",
		"#   everything else                      never\n",
	} {
		at := strings.Index(out, want)
		if at <= before {
			t.Errorf("%q is not there, or not after the others, in\n%s", want, out)
		}
		before = at
	}
}

func TestCheckConnectNamesTheOwnerOfTheKey(t *testing.T) {
	for _, tt := range []struct {
		name  string
		key   string
		fault []roamtest.Fault
		code  int
		want  []string
	}{
		{"a key that is good", roamtest.DefaultKey, nil, exitOK, []string{`workspace  "Example Ltd."`, `"chat:read"`,
			"quota      roam: 10 at once, then 1 a second"}},
		{"a key that Roam refuses", "rmk-wrong", nil, exitError, []string{"credential org: answered 401 by Roam: the key is wrong"}},
		{"a quota that is spent", roamtest.DefaultKey, []roamtest.Fault{roamtest.Throttle("7")}, exitError, []string{"429", "try again in 7 s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			roam := roamtest.NewServer(roamtest.Options{})
			defer roam.Close()
			roam.Script(tt.fault...)
			env := environ{"ROAM_API_KEY": tt.key, "ROAMPROXY_UPSTREAM_URL": roam.URL, "HOME": t.TempDir()}
			code, out, err := invoke(t, env, "check", "-connect")
			for _, want := range tt.want {
				if code != tt.code || !strings.Contains(out+err, want) {
					t.Errorf("exit %d, want %d and %q in\n%s%s", code, tt.code, want, out, err)
				}
			}
			if strings.Contains(out+err, tt.key) || len(roam.Journal()) != 1 {
				t.Errorf("the key is shown, or there were %d calls; want it hidden and one call", len(roam.Journal()))
			}
		})
	}
	env := environ{"ROAM_API_KEY": "x", "ROAMPROXY_UPSTREAM_URL": "http://127.0.0.1:1", "HOME": t.TempDir()}
	code, _, err := invoke(t, env, "check", "-connect")
	if code != exitError || !strings.Contains(err, "no connection to Roam") {
		t.Errorf("without a server: exit %d, %s", code, err)
	}
}
