package e2e

import (
	"bufio"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"roamproxy/proxy/roamtest"
)

// A second process on the same state directory does not start and names the first. It starts when the first has ended, whatever ended it.
//
// Seen to fail without the lock: both served, and together they spent the quota twice.
func TestASecondProcessOnTheSameStateDirectoryDoesNotStart(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	state := t.TempDir()
	first := launch(t, roam.URL, state)
	out, err := prepare(t, roam.URL, state).CombinedOutput()
	if err == nil {
		t.Fatal("the second process served and ended, want that it does not start")
	}
	for _, want := range []string{
		"state_dir: statefile: " + state + " is in use by process " + fmt.Sprint(first.Process.Pid),
		"listens on " + strings.TrimPrefix(first.base, "http://"),
		"--wait-lock 30s",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the second process says %s, want %q", out, want)
		}
	}
	first.kill()
	second := launch(t, roam.URL, state)

	waiting := prepare(t, roam.URL, state)
	waiting.Args = append(waiting.Args, "--wait-lock", "30s")
	log, err := waiting.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		waiting.Process.Kill()
		waiting.Wait()
	}()
	lines := bufio.NewScanner(log)
	until := func(message string) bool {
		for lines.Scan() {
			if strings.Contains(lines.Text(), `"msg":"`+message) {
				return true
			}
		}
		return false
	}
	if !until("waiting for another roamproxy") {
		t.Fatal("the process with --wait-lock does not wait")
	}
	second.Process.Signal(syscall.SIGTERM)
	if !until("serving") {
		t.Error("the process with --wait-lock does not serve after the other one has ended")
	}
}
