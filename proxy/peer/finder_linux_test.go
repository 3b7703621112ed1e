package peer

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"roamproxy/proxy/roamtest/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// caller makes a number of connections at once, each with one request: by TCP to an address, or by a Unix socket to a path.
const caller = `
import http.client, socket, sys, threading
target, count = sys.argv[1], int(sys.argv[2])
def call(ready):
    if target.startswith("/"):
        c = http.client.HTTPConnection("localhost"); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(target)
    else:
        host, port = target.rsplit(":", 1); c = http.client.HTTPConnection(host.strip("[]"), int(port)); c.connect()
    ready.wait()
    c.request("GET", "/"); c.getresponse().read()
ready = threading.Barrier(count)
threads = [threading.Thread(target=call, args=[ready]) for _ in range(count)]
for t in threads: t.start()
for t in threads: t.join()
`

// peerLog collects the peers of all connections of a server.
type peerLog struct {
	mu    sync.Mutex // guards peers
	peers []Peer
}

func (l *peerLog) take() []Peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.peers
	l.peers = nil
	return taken
}

func listen(t *testing.T, network, address string) (*peerLog, string) {
	return listenWith(t, NewFinder(), network, address)
}

func listenWith(t *testing.T, f *Finder, network, address string) (*peerLog, string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &peerLog{}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := Of(r.Context())
		s.mu.Lock()
		s.peers = append(s.peers, p)
		s.mu.Unlock()
	})}
	f.Attach(server)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return s, l.Addr().String()
}

// script writes the caller under a name of its own, where every user can read it.
func script(t *testing.T, name string) string {
	t.Helper()
	redistest.Program(t, "python3")
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(caller), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// run runs a script to its end, changed as a test wants.
func run(t *testing.T, file, target, count string, attributes *syscall.SysProcAttr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", file, target, count)
	cmd.SysProcAttr = attributes
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// All connections of a program, by TCP or a Unix socket, have the same flow and the script's name. Another program has other ones.
func TestProgramsAreFound(t *testing.T) {
	exporter, calm := script(t, "exporter.py"), script(t, "calm.py")
	for _, at := range []struct{ network, address string }{
		{"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}, {"tcp", "[::]:0"}, {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(at.network+" "+at.address, func(t *testing.T) {
			s, target := listen(t, at.network, at.address)
			target = strings.Replace(target, "[::]", "127.0.0.1", 1)
			run(t, exporter, target, "50", nil)
			flood := s.take()
			flows := map[Peer]int{}
			for _, p := range flood {
				flows[p]++
			}
			if len(flood) != 50 || len(flows) != 1 || flood[0].Name != "exporter.py" || flood[0].Flow == "" || flood[0].Process == "" ||
				flood[0].Shared {
				t.Fatalf("%d calls of %v, want 50 of one exporter.py", len(flood), flows)
			}
			run(t, exporter, target, "1", nil)
			if again := s.take(); len(again) != 1 || again[0].Name != flood[0].Name || again[0].Flow != flood[0].Flow ||
				again[0].Process == flood[0].Process {
				t.Errorf("another process of the program is %v, want %v but for the process", again, flood[0])
			}
			run(t, calm, target, "1", nil)
			if other := s.take(); len(other) != 1 || other[0].Name != "calm.py" || other[0].Flow == flood[0].Flow {
				t.Errorf("another program is %v, want calm.py and another flow than %v", other, flood[0])
			}
			run(t, exporter, target, "1", &syscall.SysProcAttr{Setsid: true})
			if other := s.take(); len(other) != 1 || other[0].Name != "exporter.py" || other[0].Flow == flood[0].Flow {
				t.Errorf("the program in another session is %v, want exporter.py and another flow than %v", other, flood[0])
			}
		})
	}
}

// A hidden process, of another container in the same network or of another user, is identified by its cgroup or its user.
func TestHiddenProcessesHaveAnOwner(t *testing.T) {
	if os.Getuid() != 0 {
		redistest.LeaveOut(t, "only root starts processes of other users")
	}
	file := script(t, "hidden.py")
	s, target := listen(t, "tcp", "127.0.0.1:0")
	local, _ := netip.ParseAddrPort(target)
	hidden := NewFinder()
	hidden.processes = newProcesses(t.TempDir()) // an empty /proc, as with another pid namespace or ProtectProc=invisible
	find := func(uid uint32) Peer {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-c", "import socket,sys; s = socket.create_connection((sys.argv[1], "+
			"int(sys.argv[2]))); print(s.getsockname()[1], flush=True); sys.stdin.read()", local.Addr().String(),
			strings.TrimPrefix(target, "127.0.0.1:"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { in.Close(); cmd.Wait() }()
		buffer := make([]byte, 16)
		n, err := out.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		from, err := netip.ParseAddrPort("127.0.0.1:" + strings.TrimSpace(string(buffer[:n])))
		if err != nil {
			t.Fatal(err)
		}
		return hidden.Find(addressedConn{local: net.TCPAddrFromAddrPort(local), remote: net.TCPAddrFromAddrPort(from)})
	}
	one, two := find(1001), find(1002)
	if !one.Shared || !two.Shared || one.Flow == "" {
		t.Errorf("hidden processes are %v and %v, want flows that several programs may share", one, two)
	}
	if inRoot, err := os.ReadFile("/proc/self/cgroup"); err == nil && strings.Contains(string(inRoot), "0::/\n") && one.Flow == two.Flow {
		t.Errorf("two users without cgroups are both %q, want two flows", one.Flow)
	}
	run(t, file, target, "1", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID})
	if got := s.take(); len(got) != 1 || got[0].Name != "hidden.py" {
		t.Errorf("a process of a pid namespace below ours is %v, want hidden.py", got)
	}
}

// Containers of one pod share a network, and do not see each other's processes. They are identified by cgroup, which also names a service
// of systemd.
func TestHiddenProcessesInCgroups(t *testing.T) {
	hidden := NewFinder()
	hidden.processes = newProcesses(t.TempDir())
	s, target := listenWith(t, hidden, "tcp", "127.0.0.1:0")
	parent, err := os.MkdirTemp(hidden.cgroups.root, "roamproxy-test-")
	if err != nil {
		redistest.LeaveOut(t, "no cgroup can be created: %v", err)
	}
	t.Cleanup(func() { os.Remove(parent) })
	file := script(t, "hidden.py")
	peers := map[string]Peer{}
	for _, name := range []string{"standup.service", "0123456789abcdef"} {
		cgroup := filepath.Join(parent, name)
		if err := os.Mkdir(cgroup, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(cgroup) })
		dir, err := os.Open(cgroup)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		run(t, file, target, "3", &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())})
		for _, p := range s.take() {
			if peers[name] != (Peer{}) && p != peers[name] {
				t.Errorf("%s is %v and %v, want one peer", name, p, peers[name])
			}
			peers[name] = p
		}
	}
	service, container := peers["standup.service"], peers["0123456789abcdef"]
	if service.Name != "standup" || container.Name != "" || service.Flow == container.Flow || !service.Shared ||
		!strings.HasPrefix(container.Flow, "cgroup ") {
		t.Errorf("a service is %v and a container %v, want standup and no name, and a cgroup each", service, container)
	}
}

// On a Unix socket a hidden process is identified by its process group, which needs no /proc.
func TestHiddenProcessesOnAUnixSocket(t *testing.T) {
	hidden := NewFinder()
	hidden.processes = newProcesses(t.TempDir())
	s, target := listenWith(t, hidden, "unix", filepath.Join(t.TempDir(), "s"))
	one, two := script(t, "one.py"), script(t, "two.py")
	run(t, one, target, "20", &syscall.SysProcAttr{Setpgid: true})
	first := s.take()
	run(t, two, target, "1", &syscall.SysProcAttr{Setpgid: true})
	second := s.take()
	for _, p := range first {
		if p.Flow == "" || p.Shared || p != first[0] || len(second) != 1 || p.Flow == second[0].Flow {
			t.Fatalf("connections of one process are of %v, and another process is %v; want one flow each", first, second)
		}
	}
}

// A connection from roamproxy's own process has no peer, because the tools of roamproxy demo are identified by their names.
func TestOurOwnProcessIsNoPeer(t *testing.T) {
	for _, at := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "s")}} {
		t.Run(at.network, func(t *testing.T) {
			s, target := listen(t, at.network, at.address)
			conn, err := net.Dial(at.network, target)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			io.Copy(io.Discard, conn)
			conn.Close()
			if got := s.take(); len(got) != 1 || got[0] != (Peer{}) {
				t.Errorf("%v, want none", got)
			}
		})
	}
}

// addressedConn is a connection that has addresses and nothing else.
type addressedConn struct {
	net.Conn
	local, remote net.Addr
}

func (c addressedConn) LocalAddr() net.Addr  { return c.local }
func (c addressedConn) RemoteAddr() net.Addr { return c.remote }

// A connection from an address that no local socket has, has no peer.
func TestForeignConnectionsHaveNoPeer(t *testing.T) {
	f := NewFinder()
	for _, c := range []addressedConn{
		{local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 77), Port: 40000}},
		{local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, remote: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}},
		{local: &net.UnixAddr{Name: "s"}, remote: &net.UnixAddr{}},
		{local: &net.IPAddr{}, remote: &net.IPAddr{}},
	} {
		t.Run("from "+c.remote.String(), func(t *testing.T) {
			if got := f.Find(c); got != (Peer{}) {
				t.Errorf("%v, want none", got)
			}
		})
	}
	if got := Of(t.Context()); got != (Peer{}) {
		t.Errorf("without a connection: %v, want none", got)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := f.Find(addressedConn{local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, remote: l.Addr()}); got != (Peer{}) {
		t.Errorf("a listener is the peer %v, want none", got)
	}
}

func TestServiceNamesOfCgroups(t *testing.T) {
	for path, want := range map[string]string{
		"/sys/fs/cgroup/system.slice/standup.service":                                        "standup",
		"/sys/fs/cgroup/system.slice/standup.service/worker":                                 "standup",
		"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service": "sync",
		"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service":                        "",
		"/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope":                          "",
		"/sys/fs/cgroup/kubepods.slice/cri-containerd-0123456789abcdef.scope":                "",
		"": "",
	} {
		t.Run(path, func(t *testing.T) {
			if got := unitName(path); got != want {
				t.Errorf("the unit is %q, want %q", got, want)
			}
		})
	}
	root := t.TempDir()
	unit := filepath.Join(root, "system.slice", "standup.service")
	if err := os.MkdirAll(unit, 0o755); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(unit)
	c := newCgroups(root)
	if got := c.name(info.Sys().(*syscall.Stat_t).Ino); got != "standup" {
		t.Errorf("the unit is %q, want standup", got)
	}
	if got := c.name(1 << 60); got != "" {
		t.Errorf("a cgroup that does not exist is %q, want no name", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add(question(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")))
	f.Add(append([]byte{140, 0, 0, 0, 20, 0, 0, 0}, make([]byte, 140)...))
	f.Fuzz(func(t *testing.T, answer []byte) { parseAnswer(answer) })
}

func BenchmarkFind(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer theirs.Close()
	for name, f := range map[string]func() *Finder{"first": NewFinder,
		"again": func() func() *Finder { f := NewFinder(); f.Find(theirs); return func() *Finder { return f } }()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f().Find(theirs)
			}
		})
	}
}
