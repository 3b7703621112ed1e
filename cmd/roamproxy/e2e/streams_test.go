package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// startStreaming starts a Roam that answers /mcp with an event stream, which ends with the test or when roamproxy closes it. The method
// of each stream is sent to opened and, if roamproxy closed it, to ended.
func startStreaming(t *testing.T) (url string, opened, ended chan string) {
	opened, ended = make(chan string, 100), make(chan string, 100)
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if !strings.HasPrefix(r.URL.Path, "/mcp") {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		opened <- r.Method
		select {
		case <-r.Context().Done():
			ended <- r.Method
		case <-over:
			io.WriteString(w, "data: 2\n\n")
		}
	}))
	t.Cleanup(func() { close(over); s.CloseClientConnections(); s.Close() })
	return s.URL, opened, ended
}

// open opens a stream and reads its first event.
func open(t *testing.T, base, method, body string) *http.Response {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), method, base+"/mcp", strings.NewReader(body))
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("data: 1\n\n"))
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "data: 1\n\n" {
		t.Fatalf("the first event: %q, %v", first, err)
	}
	return res
}

// At SIGTERM the streams of agents that only listen end and look complete, and the process ends at once.
//
// Seen to fail before a stop ended streams: it took the whole grace of 25 s.
func TestStopWithOpenStreams(t *testing.T) {
	url, opened, _ := startStreaming(t)
	r := launch(t, url, t.TempDir())
	streams := []*http.Response{
		open(t, r.base, "GET", ""),
		open(t, r.base, "POST", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}`),
	}
	for range streams {
		<-opened
	}
	start := time.Now()
	r.Process.Signal(syscall.SIGTERM)
	for _, res := range streams {
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("a stream ends with %q (%v), want that it looks complete", rest, err)
		}
		res.Body.Close()
	}
	if err := r.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit 0", err)
	}
	t.Logf("it ended after %v", time.Since(start).Round(time.Millisecond))
	if r.logged("calls were cut off at the end of the grace") > 0 {
		t.Error("it waited for streams until the end of the grace")
	}
}

// A call that is answered with events may go on during the grace like any other. At its end it is cut, and its outcome is unknown.
func TestStopWithACallThatIsAnsweredWithEvents(t *testing.T) {
	url, opened, ended := startStreaming(t)
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) { c.Upstream.URL = url })
	call := open(t, "http://"+r.Addr, "POST", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"reaction_add"}}`)
	defer call.Body.Close()
	<-opened
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.Stop(config.Limits{ShutdownGrace: config.Duration(time.Second)})
	}()
	rest, err := io.ReadAll(call.Body)
	if err == nil {
		t.Errorf("the answer looks complete: %q, want that it is cut", rest)
	}
	if got := <-ended; got != "POST" {
		t.Errorf("at Roam a %s ended, want the POST", got)
	}
	<-stopped
}

// A client that leaves ends its stream at Roam.
func TestAStreamEndsWithItsClient(t *testing.T) {
	url, opened, ended := startStreaming(t)
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) { c.Upstream.URL = url })
	res := open(t, "http://"+r.Addr, "GET", "")
	<-opened
	res.Body.Close()
	if got := <-ended; got != "GET" {
		t.Errorf("at Roam a %s ended, want the GET", got)
	}
}
