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
)

// Where connections take every descriptor, nothing breaks that does not mend itself when they are closed.
func TestOutOfDescriptors(t *testing.T) {
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
		t.Error("a call came through with no descriptor to be had: the test does not test")
	}
	for _, conn := range conns {
		conn.Close()
	}
	c.Timeout = 10 * time.Second
	for deadline := time.Now().Add(20 * time.Second); post(c, r.base) != 200; {
		if time.Now().After(deadline) {
			t.Fatal("descriptors are free again, and no call comes through")
		}
	}
	if res, body := get(t, c, r.admin+"/readyz"); res.StatusCode != 200 {
		t.Errorf("readyz: %d %s", res.StatusCode, body)
	}
	r.Process.Kill()
	r.Wait()
	if roam.Refused() != 0 {
		t.Errorf("Roam refused %d calls, want none", roam.Refused())
	}
}

// What can be wrong with a state directory, at the start and under a process that lives: calls go on, none is refused by Roam,
// the start is with an empty bucket, readiness is red and says why and what to do, one line tells of it, and once it is mended one
// line tells of that, without a call and without a restart.
//
// Seen to fail with a failure that only the next writing takes back, and with a full bucket at such a start.
func TestAStateDirectoryInTrouble(t *testing.T) {
	for _, tt := range []struct {
		name       string
		mountpoint bool
		spoil      func(s spoilable) error
		mend       func(s spoilable) error
		says       string
	}{
		{"full, and nothing there yet", true, spoilable.fill, spoilable.empty, "no space left on device"},
		{"read-only", true, spoilable.freeze, spoilable.thaw, "read-only file system"},
		{"somebody else's", false, spoilable.take, spoilable.give, "permission denied"},
	} {
		for _, when := range []string{"at the start", "meanwhile"} {
			if when == "meanwhile" && strings.HasPrefix(tt.name, "full") {
				continue // the next test's
			}
			t.Run(tt.name+" "+when, func(t *testing.T) {
				t.Parallel()
				s := newSpoilable(t, tt.mountpoint)
				roam, c := fastRoam(t), client(t)
				do := func(step func(spoilable) error) {
					t.Helper()
					if err := step(s); err != nil {
						t.Fatal(err)
					}
				}
				if when == "at the start" {
					roam.Spend(100) // by the process of before
					do(tt.spoil)
				}
				r := begin(t, s.command(t, roam.URL))
				if when == "meanwhile" {
					if got := post(c, r.base); got != 200 || len(r.warned) > 0 {
						t.Fatalf("while all is well: %d, warned of %v", got, r.warned)
					}
					do(tt.spoil)
				} else if log := strings.Join(r.warned, "\n"); strings.Count(log, "empty bucket\"") != 1 || !strings.Contains(log, tt.says) {
					t.Errorf("at the start the log says %s, want one line of an empty bucket and of %q", log, tt.says)
				}
				floods(t, c, r.base, 20)
				res, body := get(t, c, r.admin+"/readyz")
				if res.StatusCode != 503 || !strings.Contains(body, "state_dir cannot be written, so a restart begins with an empty bucket") || !strings.Contains(body, tt.says) {
					t.Errorf("readyz: %d %s, want 503 with %q", res.StatusCode, body, tt.says)
				}
				const red, green = "not ready: an operator must fix this", "ready again"
				if when == "meanwhile" {
					eventually(t, "the log tells of it", func() bool { return r.logged(red) > 0 })
				}
				calls := roam.Calls()
				do(tt.mend)
				eventually(t, "the log tells that it is mended", func() bool { return r.logged(green) > 0 })
				if res, body := get(t, c, r.admin+"/readyz"); res.StatusCode != 200 || roam.Calls() != calls {
					t.Errorf("once it is mended: %d %s after %d more calls, want 200 without any", res.StatusCode, body, roam.Calls()-calls)
				}
				if r.logged(red) > 1 || r.logged(green) != 1 {
					t.Errorf("the log tells %d times of the trouble and %d times of its end: %s", r.logged(red), r.logged(green), r.said.String())
				}
				r.kill()
				second := begin(t, s.command(t, roam.URL))
				if len(second.warned) > 0 {
					t.Errorf("the next process: %v", second.warned)
				}
				floods(t, c, second.base, 60)
				if roam.Refused() != 0 {
					t.Errorf("Roam refused %d calls, want none", roam.Refused())
				}
			})
		}
	}
}

// A state that is there already wants no more room: on a disk that fills up, all goes on as before, over a restart too.
//
// Seen to fail with a new file for each state, and with a start that tries a new one.
func TestAFullDiskCostsNothingOnceTheStateIsThere(t *testing.T) {
	s := newSpoilable(t, true)
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

// nobody is the user as whom roamproxy runs in front of a state directory that a test spoils.
const nobody = 65534

// spoilable is a state directory of nobody's, with room beside it.
type spoilable struct{ beside, path string }

// newSpoilable makes one; a small file system of its own, if that is wanted. Both need root.
func newSpoilable(t *testing.T, mountpoint bool) spoilable {
	t.Helper()
	dir := t.TempDir()
	s := spoilable{dir, filepath.Join(dir, "state")}
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
	case os.Getenv("CI") == "" && errors.Is(err, os.ErrPermission):
		t.Skipf("left out: it takes root to spoil a state directory in this way: %v", err)
	default:
		t.Fatal(err)
	}
	return s
}

// command is roamproxy as nobody.
func (s spoilable) command(t *testing.T, roam string) *exec.Cmd {
	t.Helper()
	own, config := filepath.Join(s.beside, "roamproxy"), filepath.Join(s.beside, "roamproxy.yaml")
	if _, err := os.Stat(own); err != nil { // the one of all tests is where only their user may look
		if err := errors.Join(os.Link(program(t), own), os.WriteFile(config, []byte(fast), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := prepare(t, roam, s.path, "ROAMPROXY_CONFIG="+config)
	cmd.Path, cmd.Dir = own, s.beside
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func (s spoilable) give() error { return os.Chown(s.path, nobody, nobody) }
func (s spoilable) take() error { return os.Chown(s.path, 0, 0) }

// fill takes all the room that there is.
func (s spoilable) fill() error {
	if err := os.WriteFile(filepath.Join(s.path, "filler"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("a small file system takes a large file (%v)", err)
	}
	return nil
}

func (s spoilable) empty() error { return os.Remove(filepath.Join(s.path, "filler")) }

// freeze puts a file system that cannot be written over the directory; what was there is beneath it.
func (s spoilable) freeze() error {
	return unix.Mount("frozen", s.path, "tmpfs", unix.MS_RDONLY, "size=64k,mode=755")
}

func (s spoilable) thaw() error { return unix.Unmount(s.path, unix.MNT_DETACH) }
