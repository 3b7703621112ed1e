package e2e

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"roamproxy/proxy/roamtest"
)

// The program that reads the log stops reading. Neither calls nor a stop wait for it.
//
// Seen to fail with a log that is written by the call itself: call 255 never ended, nor did the process after SIGTERM.
func TestCallsDoNotWaitForTheReaderOfTheLog(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	cmd := prepare(t, roam.URL, t.TempDir())
	log, base, _ := logReader(t, cmd)
	if _, err := unix.FcntlInt(log.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil { // a dozen lines
		t.Fatal(err)
	}
	tools := client(t)
	for range 300 {
		if res, _ := get(t, tools, base+"/v1/groups.list"); res.StatusCode != 200 {
			t.Fatalf("a call is answered %d, want 200", res.StatusCode)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit 0", err)
	}
}
