package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// Seen to fail without a check of the directory.
func TestAStateDirectoryThatOthersCanWriteIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o777, 0o770, 0o777 | os.ModeSticky} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			os.Mkdir(dir, 0o700)
			os.Chmod(dir, mode)
			env := environ{
				"ROAM_API_KEY":           "rmk-x",
				"ROAMPROXY_STATE_DIR":    dir,
				"ROAMPROXY_LISTEN":       "127.0.0.1:0",
				"ROAMPROXY_ADMIN_LISTEN": "127.0.0.1:0",
			}
			code, _, said := invoke(t, env, "serve")
			if code != 1 || !strings.Contains(said, dir+" can be written by others") {
				t.Errorf("exit %d, %q; want 1 and the directory", code, said)
			}
			warning := "warning: serve would not start as this user: state_dir: statefile: " + dir
			if _, _, said := invoke(t, env, "check"); !strings.Contains(said, warning) {
				t.Errorf("check says %q, want a warning", said)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%v was written there", left)
			}
		})
	}
}

// A FIFO in place of the state does not block the start, and readiness names it.
//
// Seen to block before.
func TestAFIFOInTheStateDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"quota-roam.state", "budgets.json"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) { c.StateDir = dir })
	if got, body := do(t, "GET", "http://"+r.AdminAddr+"/readyz"); got != http.StatusServiceUnavailable ||
		!strings.Contains(body, "no regular file") {
		t.Errorf("readyz: %d %s, want 503 and the name of the FIFO", got, body)
	}
	if got, body := do(t, "GET", "http://"+r.Addr+"/v1/token.info"); got != 200 {
		t.Errorf("a call is answered %d %s, want 200", got, body)
	}
}
