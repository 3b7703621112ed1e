package main

import (
	"bytes"
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
