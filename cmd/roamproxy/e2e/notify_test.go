package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// Seen to fail without a word after a reload, and without a beat.
func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	hears := func(want string) {
		t.Helper()
		socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		buffer := make([]byte, 1000)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				t.Fatalf("%s was not told: %v", want, err)
			}
			if regexp.MustCompile(want).Match(buffer[:n]) {
				return
			}
		}
	}
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	r := launch(t, roam.URL, t.TempDir(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=100000")
	hears(`^READY=1`)
	hears(`^WATCHDOG=1`)
	r.Process.Signal(syscall.SIGHUP)
	hears(`^RELOADING=1\nMONOTONIC_USEC=\d+`)
	hears(`^READY=1`)
	hears(`^WATCHDOG=1`)
	r.Process.Signal(syscall.SIGTERM)
	hears(`^STOPPING=1`)
	if err := r.Wait(); err != nil {
		t.Errorf("the end: %v, want exit 0", err)
	}
}

// The unit is as open as systemd-analyze finds a service that needs the network and little else, and no more: 1.3 of 10, or a little more by the measure of another version.
//
// Seen to fail with a key that systemd does not know, and with one capability left.
func TestTheSystemdUnitIsValidAndHardened(t *testing.T) {
	unit := filepath.Join("..", "..", "..", "deploy", "systemd", "roamproxy.service")
	analyze := redistest.Program(t, "systemd-analyze")
	for _, args := range [][]string{
		{"verify", "--man=no", installed(t, unit)},
		{"security", "--offline=true", "--no-pager", "--threshold=14", unit}, // tenths
	} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || args[0] == "verify" && strings.TrimSpace(string(out)) != "" {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

// installed is the unit with a program that is there, which verify looks for.
func installed(t *testing.T, unit string) string {
	t.Helper()
	content, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "roamproxy.service")
	if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte("/usr/local/bin/roamproxy"), []byte(os.Args[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
