package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roamproxy/proxy/roamtest/redistest"
)

// Connections take every descriptor. When they are closed, calls succeed again without a restart.
func TestCallsSucceedAgainAfterDescriptorsRanOut(t *testing.T) {
	roam := fastRoam(t)
	r := launch(t, roam.URL, t.TempDir(), inFile(t, fast))
	if err := unix.Prlimit(r.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 32, Max: 32}, nil); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET /v1/user.list HTTP/1.1\r\nHost: localhost\r\n") // and no more
		conns = append(conns, conn)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	if got := post(c, r.base); got == 200 {
		t.Error("a call was answered 200 without a free descriptor, so the test looked at nothing")
	}
	for _, conn := range conns {
		conn.Close()
	}
	c.Timeout = 10 * time.Second
	eventually(t, "a call succeeds once descriptors are free", func() bool { return post(c, r.base) == 200 })
	if res, body := get(t, c, r.admin+"/readyz"); res.StatusCode != 200 {
		t.Errorf("readyz: %d %s, want 200", res.StatusCode, body)
	}
	r.Process.Kill()
	r.Wait()
	if roam.Refused() != 0 {
		t.Errorf("Roam refused %d calls, want none", roam.Refused())
	}
}

// A state directory cannot be written, at the start or later. Calls go on, Roam refuses none, and a start has an empty bucket. Readiness
// is red and says why and what to do, and one line of the log reports it. Once it can be written another line says so, without a call and
// without a restart.
//
// Seen to fail with a failure that only the next write ends, and with a full bucket at such a start.
func TestCallsContinueWhileTheStateDirectoryFails(t *testing.T) {
	for _, tt := range []struct {
		name       string
		mountpoint bool
		damage     func(s stateDir) error
		repair     func(s stateDir) error
		says       string
	}{
		{"full, and nothing there yet", true, stateDir.fill, stateDir.empty, "no space left on device"},
		{"read-only", true, stateDir.freeze, stateDir.thaw, "read-only file system"},
		{"of another user", false, stateDir.take, stateDir.give, "permission denied"},
	} {
		for _, when := range []string{"at the start", "later"} {
			if when == "later" && strings.HasPrefix(tt.name, "full") {
				continue // the next test's
			}
			t.Run(tt.name+" "+when, func(t *testing.T) {
				t.Parallel()
				s := newStateDir(t, tt.mountpoint)
				roam, c := fastRoam(t), client(t)
				do := func(step func(stateDir) error) {
					t.Helper()
					if err := step(s); err != nil {
						t.Fatal(err)
					}
				}
				if when == "at the start" {
					roam.Spend(100) // by an earlier process
					do(tt.damage)
				}
				r := begin(t, s.command(t, roam.URL))
				if when == "later" {
					if got := post(c, r.base); got != 200 || len(r.warned) > 0 {
						t.Fatalf("before: a call is answered %d, and warnings are %v; want 200 and none", got, r.warned)
					}
					do(tt.damage)
				} else if log := strings.Join(r.warned, "\n"); strings.Count(log, "empty bucket") != 1 || !strings.Contains(log, tt.says) {
					t.Errorf("at the start the log says %s, want one line of an empty bucket and of %q", log, tt.says)
				}
				floods(t, c, r.base, 20)
				res, body := get(t, c, r.admin+"/readyz")
				if res.StatusCode != 503 || !strings.Contains(body, "state_dir cannot be written, so a restart begins with an empty bucket") ||
					!strings.Contains(body, tt.says) {
					t.Errorf("readyz: %d %s, want 503 with %q", res.StatusCode, body, tt.says)
				}
				const red, green = "not ready: an operator must fix this", "ready again"
				if when == "later" {
					eventually(t, "the log reports it", func() bool { return r.logged(red) > 0 })
				}
				calls := roam.Calls()
				do(tt.repair)
				eventually(t, "the log reports that it can be written", func() bool { return r.logged(green) > 0 })
				if res, body := get(t, c, r.admin+"/readyz"); res.StatusCode != 200 || roam.Calls() != calls {
					t.Errorf("once it can be written: readyz is %d %s after %d more calls, want 200 after none", res.StatusCode, body, roam.Calls()-calls)
				}
				if r.logged(red) > 1 || r.logged(green) != 1 {
					t.Errorf("the log reports it %d times and its end %d times, want each once: %s", r.logged(red), r.logged(green), r.said.String())
				}
				r.kill()
				second := begin(t, s.command(t, roam.URL))
				if len(second.warned) > 0 {
					t.Errorf("the next process warns of %v, want no warning", second.warned)
				}
				floods(t, c, second.base, 60)
				if roam.Refused() != 0 {
					t.Errorf("Roam refused %d calls, want none", roam.Refused())
				}
			})
		}
	}
}

// A state that exists needs no more room. On a disk that fills up all goes on as before, also over a restart.
//
// Seen to fail with a new file for each state, and with a start that tries a new one.
func TestAFullDiskChangesNothingOnceTheStateExists(t *testing.T) {
	s := newStateDir(t, true)
	roam, c := fastRoam(t), client(t)
	r := begin(t, s.command(t, roam.URL))
	floods(t, c, r.base, 1)
	if err := s.fill(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		floods(t, c, r.base, 60)
		if res, body := get(t, c, r.admin+"/readyz"); res.StatusCode != 200 || len(r.warned) > 0 {
			t.Errorf("readyz: %d %s, warned of %v; want 200, and no warning", res.StatusCode, body, r.warned)
		}
		r.kill()
		r = begin(t, s.command(t, roam.URL))
	}
	if roam.Refused() != 0 {
		t.Errorf("Roam refused %d calls, want none", roam.Refused())
	}
}

// nobody is the user as which roamproxy runs when a test damages its state directory.
const nobody = 65534

// stateDir is a state directory of the user nobody, and the directory around it.
type stateDir struct{ beside, path string }

// newStateDir makes one, on request with a small file system of its own. Both need root.
func newStateDir(t *testing.T, mountpoint bool) stateDir {
	t.Helper()
	dir := t.TempDir()
	s := stateDir{dir, filepath.Join(dir, "state")}
	err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(s.path, 0o700))
	if err == nil && mountpoint {
		if err = unix.Mount("state", s.path, "tmpfs", 0, "size=64k,mode=700"); err == nil {
			t.Cleanup(func() { unix.Unmount(s.path, unix.MNT_DETACH) })
		}
	}
	if err == nil {
		err = s.give()
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrPermission):
		redistest.LeaveOut(t, "only root can damage a state directory in this way: %v", err)
	default:
		t.Fatal(err)
	}
	return s
}

// command returns roamproxy as the user nobody, not started yet.
func (s stateDir) command(t *testing.T, roam string) *exec.Cmd {
	t.Helper()
	own, config := filepath.Join(s.beside, "roamproxy"), filepath.Join(s.beside, "roamproxy.yaml")
	if _, err := os.Stat(own); err != nil { // the program of all tests is where only their user may look
		if err := errors.Join(os.Link(program(t), own), os.WriteFile(config, []byte(fast), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := prepare(t, roam, s.path, "ROAMPROXY_CONFIG="+config)
	cmd.Path, cmd.Dir = own, s.beside
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func (s stateDir) give() error { return os.Chown(s.path, nobody, nobody) }
func (s stateDir) take() error { return os.Chown(s.path, 0, 0) }

// fill takes all free space.
func (s stateDir) fill() error {
	if err := os.WriteFile(filepath.Join(s.path, "filler"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("a small file system accepts a large file (%v)", err)
	}
	return nil
}

func (s stateDir) empty() error { return os.Remove(filepath.Join(s.path, "filler")) }

// freeze mounts a read-only file system over the directory.
func (s stateDir) freeze() error {
	return unix.Mount("frozen", s.path, "tmpfs", unix.MS_RDONLY, "size=64k,mode=755")
}

func (s stateDir) thaw() error { return unix.Unmount(s.path, unix.MNT_DETACH) }
