package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// spawned is roamproxy in a process of its own.
type spawned struct {
	*exec.Cmd
	base, admin string
	warned      []string          // in its log, before it served
	said        servertest.Buffer // all of its log
	serving     chan struct{}
	ended       chan struct{}
}

// launch starts one on free ports, and returns when it serves.
func launch(t *testing.T, roam, state string, env ...string) *spawned {
	t.Helper()
	return begin(t, prepare(t, roam, state, env...))
}

// prepare is the command that launch starts.
func prepare(t *testing.T, roam, state string, env ...string) *exec.Cmd {
	cmd := exec.Command(program(t), "serve", "-listen", "127.0.0.1:0", "-admin-listen", "127.0.0.1:0", "-upstream-url", roam)
	cmd.Env = append(append(os.Environ(), "ROAM_API_KEY="+roamtest.DefaultKey, "ROAMPROXY_STATE_DIR="+state), env...)
	return cmd
}

// begin starts a command that was prepared, and returns when it serves.
func begin(t *testing.T, cmd *exec.Cmd) *spawned {
	t.Helper()
	r := start(t, cmd)
	r.await(t)
	return r
}

// start returns when the process runs, before it serves.
func start(t *testing.T, cmd *exec.Cmd) *spawned {
	t.Helper()
	r := &spawned{Cmd: cmd, serving: make(chan struct{}), ended: make(chan struct{})}
	stderr, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	go func() {
		defer close(r.ended)
		lines := bufio.NewScanner(stderr)
		for lines.Buffer(nil, 1<<20); lines.Scan(); {
			r.said.Write(append(lines.Bytes(), '\n'))
			var line struct{ Level, Msg, Listen, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) != nil || r.base != "" {
				continue
			}
			if line.Level == "warn" {
				r.warned = append(r.warned, lines.Text())
			}
			if line.Msg == "serving" {
				r.base, r.admin = "http://"+line.Listen, "http://"+line.Admin
				close(r.serving)
			}
		}
	}()
	return r
}

// await returns when it serves.
func (r *spawned) await(t *testing.T) {
	t.Helper()
	select {
	case <-r.serving:
	case <-r.ended:
		t.Fatal("roamproxy did not start: ", r.said.String())
	}
}

// Wait returns when it has ended and said all.
func (r *spawned) Wait() error {
	<-r.ended
	return r.Cmd.Wait()
}

func (r *spawned) kill() {
	r.Process.Kill()
	r.Wait()
}

// logged returns how often the log has a line whose message begins so.
func (r *spawned) logged(message string) int {
	return strings.Count(r.said.String(), `"msg":"`+message)
}

// process is launch for who needs only the address for tools.
func process(t *testing.T, roam, state string) (cmd *exec.Cmd, base string) {
	t.Helper()
	r := launch(t, roam, state)
	return r.Cmd, r.base
}

// eventually waits until a condition holds that another goroutine or another program brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	redistest.Eventually(t, what, holds)
}
