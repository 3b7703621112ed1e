// Package servertest runs roamproxy inside a test, on real sockets, in front of a simulated Roam. Only tests import it.
package servertest

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// stopGrace is the time for calls that a test leaves in flight: longer than a call at the simulated Roam, and short for a failed test.
const stopGrace = 2 * time.Second

// Start starts roamproxy in this process, in front of a simulated Roam. Both end with the test. The kernel chooses the ports, and the
// state directory is the test's own. change, which may be nil, changes the default configuration.
func Start(t testing.TB, o roamtest.Options, log io.Writer, change func(*config.Config)) (*server.Server, *roamtest.Server) {
	t.Helper()
	roam := roamtest.NewServer(o)
	t.Cleanup(roam.Close)
	c := config.Default(func(string) string { return "" })
	c.Listen, c.Admin.Listen, c.Upstream.URL, c.StateDir = "127.0.0.1:0", "127.0.0.1:0", roam.URL, t.TempDir()
	c.Credentials[0].APIKey = credential.NewSecret(roamtest.DefaultKey)
	if change != nil {
		change(&c)
	}
	if errs := c.Validate(nil); len(errs) > 0 {
		t.Fatal(errs)
	}
	s, err := server.Start(c, server.NewLog(c.Log, log), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(config.Limits{ShutdownGrace: config.Duration(stopGrace)}) })
	return s, roam
}

// Buffer is a bytes.Buffer that several goroutines may use. Its zero value is empty and ready.
type Buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write appends p. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Drain returns all that was written since the last Drain.
func (b *Buffer) Drain() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}
