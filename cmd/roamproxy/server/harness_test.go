package server

import (
	"bytes"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // tests have state directories, which others may not write
	goleak.VerifyTestMain(m)
}

// startServer starts roamproxy on real sockets, in front of a simulated Roam.
func startServer(t *testing.T, o roamtest.Options, log io.Writer, change func(*config.Config)) (*Server, *roamtest.Server) {
	t.Helper()
	roam := roamtest.NewServer(o)
	t.Cleanup(roam.Close)
	c := config.Default(func(string) string { return "" })
	c.Listen, c.Admin.Listen, c.Upstream.URL, c.StateDir = "127.0.0.1:0", "127.0.0.1:0", roam.URL, t.TempDir()
	c.Credentials[0].APIKey = credential.NewSecret(roamtest.DefaultKey)
	change(&c)
	r, err := Start(c, NewLog(c.Log, log), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop(config.Limits{ShutdownGrace: config.Duration(2 * time.Second)}) })
	return r, roam
}

// lockedBuffer keeps what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
