package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"roamproxy/proxy/roamtest"
)

// A SIGHUP during the first reading of the configuration does not end the process.
func TestAHangupDuringTheStartEndsNothing(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	fifo := filepath.Join(t.TempDir(), "roamproxy.yaml") // opening it for writing waits until it is read
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := prepare(t, roam.URL, t.TempDir(), "ROAMPROXY_CONFIG="+fifo)
	r := start(t, cmd)
	file, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Process.Signal(syscall.SIGHUP)
	file.WriteString("log: {format: json}\n")
	file.Close()
	r.await(t)
	if got := post(client(t), r.base); got != 200 {
		t.Errorf("a call is answered %d, want 200", got)
	}
}
