package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // other users must not be able to write the tests' state directories
	goleak.VerifyTestMain(m)
}

// environ is the environment of a process in a test.
type environ map[string]string

func (e environ) get(name string) string { return e[name] }

// invoke runs a command line, and returns its exit code and both outputs.
func invoke(t *testing.T, env environ, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, env.get, &o, &e)
	return code, o.String(), e.String()
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

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing: help", nil, exitOK, "serve"},
		{"help", []string{"--help"}, exitOK, "ROAM_API_KEY=… roamproxy serve"},
		{"help with one dash", []string{"-help"}, exitOK, "serve"},
		{"an unknown command", []string{"sevre"}, exitUsage, "serve"},
		{"an unknown flag", []string{"serve", "--port", "1"}, exitUsage, "unknown flag --port"},
		{"version", []string{"version"}, exitOK, "roamproxy "},
		{"version as a flag", []string{"--version"}, exitOK, "roamproxy "},
		{"help as a command", []string{"help"}, exitOK, "ROAM_API_KEY=… roamproxy serve"},
		{"help of a command", []string{"help", "serve"}, exitOK, "--admin-listen"},
		{"a token", []string{"token", "standup-bot"}, exitOK, "token_sha256: "},
		{"a token for a bad name", []string{"token", "Bad Name"}, exitError, "1 to 32"},
		{"health without a process", []string{"health", "-url", "http://127.0.0.1:1/healthz"}, exitError, "not healthy"},
		{"serve without a key", []string{"serve"}, exitError, "set ROAM_API_KEY"},
		{"a file that is not there", []string{"check", "-config", "/nonexistent"}, exitError, "cannot be read"},
		{"simulate nonsense", []string{"simulate", "-rate", "0"}, exitError, "rate above 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := invoke(t, environ{"HOME": t.TempDir()}, tt.args...)
			if code != tt.code || !strings.Contains(out+err, tt.want) {
				t.Errorf("exit %d, %s%s; want %d with %q", code, out, err, tt.code, tt.want)
			}
		})
	}
}
