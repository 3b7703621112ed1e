package statefile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// holdLock is the program of the other process: it holds the lock, says so, and lives until it is killed.
func holdLock(dir string) {
	d, err := Open(dir)
	if err == nil {
		_, err = d.Lock(context.Background(), "127.0.0.1:8080", 0)
	}
	fmt.Println(err)
	select {}
}

// holder starts another process, which holds the lock of dir.
func holder(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STATEFILE_TEST_LOCK="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("the other process cannot lock: %q, %v", line, err)
	}
	return cmd
}

// Seen to fail without flock, and with an owner that is not recorded.
func TestOneProcessHasTheDirectory(t *testing.T) {
	d := open(t, t.TempDir())
	other := holder(t, d.Path())
	_, err := d.Lock(t.Context(), "127.0.0.1:9999", 0)
	var locked *LockedError
	if !errors.As(err, &locked) || *locked != (LockedError{d.Path(), other.Process.Pid, "127.0.0.1:8080"}) {
		t.Fatalf("while process %d has it: %v, want its directory, pid and address", other.Process.Pid, err)
	}
	want := fmt.Sprintf("statefile: %s is in use by process %d, which listens on 127.0.0.1:8080", d.Path(), other.Process.Pid)
	if err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
	other.Process.Kill() // kill -9
	other.Wait()
	lock, err := d.Lock(t.Context(), "", 0)
	if err != nil {
		t.Fatalf("once it is killed: %v, want the lock", err)
	}
	lock.SetAddress("[::1]:7")
	if _, err := d.Lock(t.Context(), "", 0); !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Address != "[::1]:7" {
		t.Errorf("a second lock of this process: %v, want our pid and the address that was set", err)
	}
	lock.Unlock()
	if lock, err = d.Lock(t.Context(), "", 0); err != nil {
		t.Fatalf("once it is unlocked: %v", err)
	}
	lock.Unlock()
}

func TestALockIsWaitedFor(t *testing.T) {
	d := open(t, t.TempDir())
	other := holder(t, d.Path())
	got := make(chan error)
	go func() {
		lock, err := d.Lock(context.Background(), "", time.Minute)
		if err == nil {
			err = lock.Unlock()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("while the other process lives: %v, want to wait", err)
	case <-time.After(3 * lockPoll):
	}
	other.Process.Kill()
	other.Wait()
	if err := <-got; err != nil {
		t.Errorf("once it is killed: %v, want the lock", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	holder(t, d.Path())
	go func() { _, err := d.Lock(ctx, "", time.Hour); got <- err }()
	cancel()
	var locked *LockedError
	if err := <-got; !errors.As(err, &locked) {
		t.Errorf("canceled: %v, want the owner", err)
	}
}

// A damaged record of the owner does not hide that there is one.
func TestAnOwnerThatCannotBeRead(t *testing.T) {
	d := open(t, t.TempDir())
	lock, err := d.Lock(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	for _, content := range []string{"", "{", `{"pid":"x"}`, "\x00\x00"} {
		t.Run(fmt.Sprintf("%q", content), func(t *testing.T) {
			os.WriteFile(d.Path()+"/lock", []byte(content), 0o600)
			_, err := d.Lock(t.Context(), "", 0)
			if want := "statefile: " + d.Path() + " is in use by another process"; err == nil || err.Error() != want {
				t.Errorf("%v, want %q", err, want)
			}
		})
	}
}
