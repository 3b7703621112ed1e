package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"roamproxy/proxy/roamtest"
)

// spawned is roamproxy in a process of its own.
type spawned struct {
	*exec.Cmd
	base, admin string
	warned      []string // in its log, before it served
}

// launch starts one on free ports, and returns when it serves.
func launch(t *testing.T, roam, state string, env ...string) *spawned {
	t.Helper()
	r := &spawned{Cmd: exec.Command(os.Args[0], "serve", "-listen", "127.0.0.1:0", "-admin-listen", "127.0.0.1:0", "-upstream-url", roam)}
	r.Env = append(append(os.Environ(), "ROAMPROXY_TEST_MAIN=1", "ROAM_API_KEY="+roamtest.DefaultKey, "ROAMPROXY_STATE_DIR="+state), env...)
	stderr, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Process.Kill() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct{ Level, Msg, Listen, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Level == "warn" {
			r.warned = append(r.warned, lines.Text())
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			go io.Copy(io.Discard, stderr)
			r.base, r.admin = "http://"+line.Listen, "http://"+line.Admin
			return r
		}
	}
	t.Fatal("roamproxy did not start")
	return nil
}

// process is launch for who needs only the address for tools.
func process(t *testing.T, roam, state string) (cmd *exec.Cmd, base string) {
	t.Helper()
	r := launch(t, roam, state)
	return r.Cmd, r.base
}
