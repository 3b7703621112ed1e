package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/limiter/quotafile"
	"roamproxy/limiter/statefile"
	"roamproxy/limiter/transport"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/repeat"
	"roamproxy/proxy/roamtest"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // the directories of the tests are state directories, which others may not write
	goleak.VerifyTestMain(m)
}

// inBubble runs a subtest in simulated time.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func stateDir(t testing.TB, path string) *statefile.Dir {
	t.Helper()
	dir, err := statefile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// harness is a complete proxy in front of a simulated Roam, and its Observer.
type harness struct {
	*Proxy
	roam   *roamtest.Roam
	queue  *limiter.Queue
	bucket *limiter.Local

	mu      sync.Mutex
	reports []Report
	sent    int
	route   string // of the last call that was sent
}

func (h *harness) NewTool(string) {}
func (h *harness) Answered(report Report) {
	h.mu.Lock()
	h.reports = append(h.reports, report)
	h.mu.Unlock()
}
func (h *harness) Sent(_, route string, _ int, _ time.Duration) {
	h.mu.Lock()
	h.sent, h.route = h.sent+1, route
	h.mu.Unlock()
}

func (h *harness) last() Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reports[len(h.reports)-1]
}

// endedRequests returns how many requests have ended.
func (h *harness) endedRequests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.reports)
}

// setup is what a test can change before the harness is built.
type setup struct {
	rate, burst float64
	jitter      time.Duration
	queue       limiter.Options
	proxy       Options
	open        *transport.OpenResponses
	state       *quotafile.File
}

// newHarness returns a harness in front of roam. If base is nil, it uses no sockets.
func newHarness(t testing.TB, roam *roamtest.Roam, base http.RoundTripper, changes ...func(*setup)) *harness {
	t.Helper()
	upstream, _ := url.Parse("http://roam.example")
	p := setup{rate: 1, burst: 10, proxy: Options{Upstream: upstream, Base: base, Timeout: 30 * time.Second, MaxBody: 11 << 20,
		Reach: Reach{Loopback: true}}}
	if base == nil {
		p.proxy.Base = roam.Transport()
	}
	for _, change := range changes {
		change(&p)
	}
	h := &harness{roam: roam}
	var err error
	if h.bucket, err = limiter.NewLocal(p.rate, p.burst, p.jitter); err != nil {
		t.Fatal(err)
	}
	if p.state != nil {
		restored, _ := p.state.Restore(h.bucket)
		p.queue.Paused, p.queue.Learned = restored.Paused, restored.Learned
		p.queue.Keeper = p.state
	}
	p.queue.Bucket = h.bucket
	h.queue = limiter.New(p.queue)
	t.Cleanup(h.queue.Close)
	kept, err := cache.New(cache.Options{Throttled: IsThrottled, MaxSize: 4 << 20}) // ristretto clears its counters byte by byte
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kept.Close)
	maxWait := p.queue.MaxWait
	if maxWait == 0 {
		maxWait = time.Minute
	}
	p.proxy.Cache, p.proxy.Observer, p.proxy.Bodies = kept, h, transport.NewBodies(0, "")
	if p.proxy.Streams == nil {
		p.proxy.Streams = eventstream.New()
	}
	if p.proxy.Writes == nil {
		p.proxy.Writes = repeat.New()
		p.proxy.Writes.Configure(2*time.Minute, nil)
	}
	p.proxy.Quotas = []Quota{{Name: "roam", Queue: h.queue, Open: p.open, Rate: p.rate, Burst: p.burst, MaxWait: maxWait}}
	if p.proxy.Credentials == nil {
		p.proxy.Credentials = []Credential{{Name: "org", Source: credential.Key{Value: credential.NewSecret(roamtest.DefaultKey)}, Quota: "roam"}}
	}
	if h.Proxy, err = New(p.proxy); err != nil {
		t.Fatal(err)
	}
	return h
}

// do sends one request to the harness without a socket.
func (h *harness) do(ctx context.Context, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (h *harness) post(ctx context.Context) int {
	return h.do(ctx, "POST", "/v1/chat.post", `{"chat":"C-1","text":"hello"}`).Code
}

// served returns the URL of h on a server.
func served(t testing.TB, h http.Handler) string { return "http://" + servedAt(t, h) }

// servedAt returns the address of h on a server.
func servedAt(t testing.TB, h http.Handler) string {
	return serve(t, h, func(_ *http.Server, l net.Listener) net.Listener { return l })
}

// servedToTools returns the address of h on a server for tools.
func servedToTools(t testing.TB, h http.Handler) string { return serve(t, h, Attach) }

func serve(t testing.TB, h http.Handler, attach func(*http.Server, net.Listener) net.Listener) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(attach(server, l))
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// postAtOnce makes n calls at the same time, and demands that each is answered with this status.
func (h *harness) postAtOnce(t *testing.T, n, want int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if got := h.post(t.Context()); got != want {
				t.Errorf("a call is answered %d, want %d", got, want)
			}
		})
	}
	all.Wait()
}

// newTransport returns a Transport whose idle connections are closed at the end of the test.
func newTransport(t testing.TB, maxInFlight int) *Transport {
	t.Helper()
	transport, err := NewTransport(TransportOptions{MaxInFlight: maxInFlight})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// newKeyFile returns a file of a key, and a function that replaces the key in it.
func newKeyFile(t *testing.T, key string) (source *credential.File, replace func(string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	replace = func(key string) {
		if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace(key)
	return credential.NewFile(path), replace
}

// recordingUpstream is an upstream without a quota that records the latest request.
type recordingUpstream struct {
	mu     sync.Mutex
	req    *http.Request
	uri    string
	body   string
	answer func(*http.Request) (*http.Response, error)
}

func (u *recordingUpstream) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	u.mu.Lock()
	u.req, u.uri, u.body = req, req.URL.RequestURI(), string(body)
	u.mu.Unlock()
	if u.answer != nil {
		return u.answer(req)
	}
	return reply(req, 200, `{"ok":true}`), nil
}

func reply(req *http.Request, status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
		ProtoMajor: 1, ProtoMinor: 1, Request: req}
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func unmetered(p *setup) { p.rate, p.burst = 1000, 1000 }

func unmeteredRoam() *roamtest.Roam { return roamtest.New(roamtest.Options{Rate: 1000, Burst: 1000}) }

// tokens returns the digests of a tool's tokens.
func tokens(all ...string) (digests [][32]byte) {
	for _, token := range all {
		digests = append(digests, sha256.Sum256([]byte(token)))
	}
	return digests
}
