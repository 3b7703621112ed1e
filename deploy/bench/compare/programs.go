package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"roamproxy/proxy/roamtest"
)

// Files of the comparison. The configurations are templates, for addresses and the speed.
var (
	//go:embed tool.js
	toolScript []byte
	//go:embed nginx.conf
	nginxConf string
	//go:embed roamproxy.yaml
	roamproxyYAML string
)

// bottleneckPackage is what npm installs. It has not changed since 2019.
const bottleneckPackage = "bottleneck@2.19.5"

// program is what paces the calls of the tools.
type program struct {
	name       string
	start      func(ctx context.Context, o options, s setting) (proxy, error) // nil: tools call Roam directly
	bottleneck bool                                                           // all tools of a job are one process, with one limiter
	idempotent bool                                                           // tools send an Idempotency-Key; for faults only
}

// Names of programs that the report treats in another way.
const (
	roamproxy        = "roamproxy"
	roamproxyWithKey = "roamproxy, with Idempotency-Key"
)

// allPrograms returns the programs in the order of the tables.
func allPrograms() []program {
	return []program{
		{name: roamproxy, start: startRoamproxy},
		{name: roamproxyWithKey, start: startRoamproxy, idempotent: true},
		{name: "nginx", start: startNginx},
		{name: "bottleneck", bottleneck: true},
		{name: "plain client"},
	}
}

// toolTokens returns those of the tools behind a proxy. roamproxy compares them; nginx replaces them by the key.
func toolTokens() []string {
	return []string{"token-of-the-first-tool", "token-of-the-second-tool", "token-of-the-third-tool"}
}

// setting is what the templates of the configurations know.
type setting struct {
	Dir, Upstream, Port, Key string
	Speed                    int
	Digests                  []string // of the tokens of the tools
}

// write executes the template text with the setting, and writes the result to the file name.
func (s setting) write(name, text string) (path string, err error) {
	scaled := func(seconds float64) time.Duration {
		return time.Duration(seconds * float64(time.Second) / float64(s.Speed))
	}
	t, err := template.New(name).Funcs(template.FuncMap{
		"seconds":      func(n float64) string { return fmt.Sprintf("%dms", scaled(n).Milliseconds()) },
		"wholeSeconds": func(n float64) string { return fmt.Sprintf("%ds", max(scaled(n)/time.Second, 1)) },
	}).Parse(text)
	if err != nil {
		return "", err
	}
	path = filepath.Join(s.Dir, name)
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return path, t.Execute(file, s)
}

// proxy is a program that runs between the tools and Roam.
type proxy struct {
	addr  string
	ended <-chan error // receives once the process has ended
}

// withSIGTERM ends a process by SIGTERM when its context ends, and kills it five seconds later.
func withSIGTERM(cmd *exec.Cmd) *exec.Cmd {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// startRoamproxy returns when roamproxy serves.
func startRoamproxy(ctx context.Context, o options, s setting) (proxy, error) {
	path, err := s.write("roamproxy.yaml", roamproxyYAML)
	if err != nil {
		return proxy{}, err
	}
	cmd := withSIGTERM(exec.CommandContext(ctx, o.binary, "serve", "-config", path))
	log, err := cmd.StderrPipe()
	if err != nil {
		return proxy{}, err
	}
	if err := cmd.Start(); err != nil {
		return proxy{}, err
	}
	serving, ended, said := make(chan string, 1), make(chan error, 1), new(strings.Builder)
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, Listen string }
			if json.Unmarshal(lines.Bytes(), &line); line.Msg == "serving" {
				serving <- line.Listen
			}
			fmt.Fprintln(said, lines.Text())
		}
		ended <- cmd.Wait()
	}()
	select {
	case addr := <-serving:
		return proxy{addr, ended}, nil
	case err := <-ended:
		return proxy{}, fmt.Errorf("roamproxy ended: %w\n%s", err, said)
	}
}

// startNginx returns when nginx listens.
func startNginx(ctx context.Context, _ options, s setting) (proxy, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return proxy{}, err
	}
	free.Close() // nginx opens the port itself
	addr := free.Addr().String()
	_, s.Port, _ = net.SplitHostPort(addr)
	path, err := s.write("nginx.conf", nginxConf)
	if err != nil {
		return proxy{}, err
	}
	cmd := withSIGTERM(exec.CommandContext(ctx, "nginx", "-p", s.Dir, "-c", path, "-e", "error.log", "-g", "daemon off; master_process off;"))
	cmd.Dir = s.Dir // where its Unix socket is; -p is for files only
	if err := cmd.Start(); err != nil {
		return proxy{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return proxy{addr, ended}, nil
		}
		select {
		case err := <-ended:
			log, _ := os.ReadFile(filepath.Join(s.Dir, "error.log"))
			return proxy{}, fmt.Errorf("nginx ended: %w\n%s", err, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// settingFor returns the setting of one measurement, with a folder of its own.
func settingFor(o options, u *upstream) (setting, error) {
	dir, err := os.MkdirTemp(o.dir, "")
	s := setting{Dir: dir, Upstream: u.addr(), Key: roamtest.DefaultKey, Speed: o.speed}
	for _, token := range toolTokens() {
		s.Digests = append(s.Digests, fmt.Sprintf("%x", sha256.Sum256([]byte(token))))
	}
	return s, err
}
