package main

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// startServer starts roamproxy on real sockets, in front of a simulated Roam.
func startServer(t *testing.T, o roamtest.Options, log io.Writer, change func(*config.Config)) (*server.Server, *roamtest.Server) {
	t.Helper()
	roam := roamtest.NewServer(o)
	t.Cleanup(roam.Close)
	c := config.Default(func(string) string { return "" })
	c.Listen, c.Admin.Listen, c.Upstream.URL, c.StateDir = "127.0.0.1:0", "127.0.0.1:0", roam.URL, t.TempDir()
	c.Credentials[0].APIKey = credential.NewSecret(roamtest.DefaultKey)
	change(&c)
	r, err := server.Start(c, server.NewLog(c.Log, log), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop(config.Limits{ShutdownGrace: config.Duration(2 * time.Second)}) })
	return r, roam
}

// do makes a request on a connection of its own, and returns the status and the body of its answer.
func do(t *testing.T, method, url string, header ...string) (status int, body string) {
	t.Helper()
	req, _ := http.NewRequest(method, url, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
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
