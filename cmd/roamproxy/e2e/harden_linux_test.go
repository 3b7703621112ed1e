package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// A process that dies leaves no core, however it was started, and other processes of its user cannot read its memory.
//
// Seen to fail before: a core of 123 MB with the key in twelve places.
func TestNoCoreHoldsTheKey(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	cmd := prepare(t, "http://127.0.0.1:1", filepath.Join(dir, "state"), "GOTRACEBACK=crash")
	cmd.Args = append([]string{"sh", "-c", `ulimit -c unlimited; exec "$0" "$@"`}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path, cmd.Dir = "/bin/sh", dir
	if os.Getuid() == 0 { // any process of root belongs to root
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		os.Chmod(filepath.Dir(program(t)), 0o755)
		os.Chown(dir, nobody, nobody)
	}
	r := begin(t, cmd)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", r.Process.Pid))
	if err != nil || !regexp.MustCompile(`Max core file size\s+0\s+0`).Match(limits) {
		t.Errorf("the limits are %s (%v), want no core", limits, err)
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", r.Process.Pid))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the owner of the memory is %v (%v), want root, because the process is not dumpable", info, err)
	}
	r.Process.Signal(syscall.SIGABRT)
	r.Wait()
	if cores, _ := filepath.Glob(filepath.Join(dir, "*core*")); len(cores) > 0 {
		t.Errorf("it left %v, want no core", cores)
	}
}
