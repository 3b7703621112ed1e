// Package redistest starts real Redis servers for tests, on loopback ports of their own, and stops them when the test ends.
// Only tests import it, so the shipped program cannot start a server.
package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Redis is a real redis-server of a test's own, on loopback, that keeps nothing on disk.
type Redis struct {
	Addr string

	t       redisTest
	program string
	dir     string
	args    []string
	server  *exec.Cmd
	monitor string // of a Sentinel: its configuration
	secure  bool   // it speaks TLS and nothing else
}

type redisTest interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	TempDir() string
}

// NewRedis starts a redis-server with further arguments, and stops it at the end of the test. If the program is missing, the test is
// skipped (see Program).
func NewRedis(t redisTest, args ...string) *Redis {
	t.Helper()
	r := &Redis{t: t, program: Program(t, "redis-server"), dir: t.TempDir(), args: args}
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// NewTLSRedis is NewRedis for a server that speaks only TLS, with the certificates that the arguments name.
func NewTLSRedis(t redisTest, args ...string) *Redis {
	t.Helper()
	r := &Redis{t: t, program: Program(t, "redis-server"), dir: t.TempDir(), args: args, secure: true}
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// URL returns the address for redis.url.
func (r *Redis) URL() string {
	if r.secure {
		return "rediss://" + r.Addr
	}
	return "redis://" + r.Addr
}

// Start starts the server. After Kill it starts it again, empty, on the same port.
func (r *Redis) Start() {
	r.t.Helper()
	for range 5 { // the port may have been taken between asking for it and using it
		if r.Addr == "" {
			r.Addr = net.JoinHostPort("127.0.0.1", freePort(r.t))
		}
		_, port, _ := net.SplitHostPort(r.Addr)
		log, err := os.Create(filepath.Join(r.dir, "redis.log"))
		if err != nil {
			r.t.Fatalf("%v", err)
		}
		r.server = exec.Command(r.program, r.arguments(port)...)
		r.server.Stdout, r.server.Stderr = log, log
		if err := r.server.Start(); err != nil {
			r.t.Fatalf("redis-server: %v", err)
		}
		log.Close()
		if r.answers() {
			return
		}
		r.Kill()
		r.Addr = ""
	}
	said, _ := os.ReadFile(filepath.Join(r.dir, "redis.log"))
	r.t.Fatalf("redis-server does not answer: %s", said)
}

func (r *Redis) arguments(port string) []string {
	first := []string{"--bind", "127.0.0.1", "--port", port, "--dir", r.dir}
	if r.monitor != "" {
		return append([]string{r.monitor, "--sentinel"}, first...)
	}
	if r.secure {
		first[2], first[3] = "--tls-port", port
		first = append(first, "--port", "0")
	}
	return append(append(first, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"), r.args...)
}

// answers waits until the server answers, and reports whether it does.
func (r *Redis) answers() bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", r.Addr); err == nil {
			fmt.Fprint(c, "PING\r\n")
			c.SetDeadline(deadline)
			_, err = c.Read(make([]byte, 1))
			c.Close()
			return err == nil || r.secure // a TLS server closes the connection
		}
	}
	return false
}

// Kill ends the server as a crash would.
func (r *Redis) Kill() {
	if r.server != nil && r.server.Process != nil {
		r.server.Process.Kill()
		r.server.Wait()
		r.server = nil
	}
}

// Hang stops the server from answering, while its connections stay open. Resume ends that.
func (r *Redis) Hang() { r.server.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Hang.
func (r *Redis) Resume() { r.server.Process.Signal(syscall.SIGCONT) }

// Calls returns how often the server has run these commands (lower case) since its start, those inside scripts included.
func (r *Redis) Calls(commands ...string) (calls int) {
	r.t.Helper()
	for line := range strings.Lines(r.cli("info", "commandstats")) {
		var name string
		var n int
		if _, err := fmt.Sscanf(strings.NewReplacer(":", " ", ",", " ").Replace(line), "cmdstat_%s calls=%d", &name, &n); err == nil &&
			slices.Contains(commands, name) {
			calls += n
		}
	}
	return calls
}
