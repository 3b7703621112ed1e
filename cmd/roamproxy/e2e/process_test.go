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

// process is roamproxy in a process of its own.
type process struct {
	*exec.Cmd
	base, admin string
	warned      []string          // lines of its log before it served
	said        servertest.Buffer // its log
	serving     chan struct{}
	ended       chan struct{}
}

// launch starts roamproxy on free ports, and returns when it serves.
func launch(t *testing.T, roam, state string, env ...string) *process {
	t.Helper()
	return begin(t, prepare(t, roam, state, env...))
}

// prepare returns the command that launch starts.
func prepare(t *testing.T, roam, state string, env ...string) *exec.Cmd {
	cmd := exec.Command(program(t), "serve", "-listen", "127.0.0.1:0", "-admin-listen", "127.0.0.1:0", "-upstream-url", roam)
	cmd.Env = append(append(os.Environ(), "ROAM_API_KEY="+roamtest.DefaultKey, "ROAMPROXY_STATE_DIR="+state), env...)
	return cmd
}

// begin starts a command, and returns when it serves.
func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	r := start(t, cmd)
	r.await(t)
	return r
}

// start starts a command, and returns before it serves.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	r := &process{Cmd: cmd, serving: make(chan struct{}), ended: make(chan struct{})}
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

// await returns when the process serves.
func (p *process) await(t *testing.T) {
	t.Helper()
	select {
	case <-p.serving:
	case <-p.ended:
		t.Fatal("roamproxy did not start: ", p.said.String())
	}
}

// Wait returns when the process has ended and its log is complete.
func (p *process) Wait() error {
	<-p.ended
	return p.Cmd.Wait()
}

func (p *process) kill() {
	p.Process.Kill()
	p.Wait()
}

// logged returns how many lines of the log have a message that begins so.
func (p *process) logged(message string) int {
	return strings.Count(p.said.String(), `"msg":"`+message)
}

// eventually waits until a condition holds that another goroutine or another program brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	redistest.Eventually(t, what, holds)
}
