package proxy

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// nullWriter is a ResponseWriter that discards the response and counts its writes and bytes.
type nullWriter struct {
	header http.Header
	status int
	writes int
	bytes  int
	buffer []byte
}

func (w *nullWriter) Header() http.Header                { return w.header }
func (w *nullWriter) WriteHeader(status int)             { w.status = status }
func (w *nullWriter) SetWriteDeadline(_ time.Time) error { return nil }

// ReadFrom copies through a buffer that is used again, as net/http's does.
func (w *nullWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.buffer == nil {
		w.buffer = make([]byte, copySize)
	}
	return io.CopyBuffer(struct{ io.Writer }{w}, r, w.buffer)
}

func (w *nullWriter) Write(p []byte) (int, error) {
	w.writes++
	w.bytes += len(p)
	return len(p), nil
}

// answering returns a harness with a cached list of this size, and a request for the list.
func answering(t testing.TB, size int, changes ...func(*setup)) (*harness, *http.Request) {
	body := `{"ok":true,"x":"` + strings.Repeat("x", size-18) + `"}`
	h := newHarness(t, nil, &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) { return reply(r, 200, body), nil }},
		append(changes, unmetered)...)
	h.o.Observer = nullObserver{} // which keeps no reports
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/groups.list?limit=10&expand=a", nil)
	r.Host, r.Header = "127.0.0.1:8080", http.Header{"Authorization": {"Bearer token-of-a-usual-length-00001"}, "User-Agent": {"bot/1"},
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate"}, "Roamproxy-Tool": {"bot"}}
	h.ServeHTTP(httptest.NewRecorder(), r)
	return h, r
}

type nullObserver struct{}

func (nullObserver) NewTool(string)                           {}
func (nullObserver) Answered(Report)                          {}
func (nullObserver) Sent(_, _ string, _ int, _ time.Duration) {}

// A hit is one write. In pieces, a body over 4 KiB would be two system calls and two packets.
func TestAHitIsOneWrite(t *testing.T) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			h, r := answering(t, size)
			q := &nullWriter{header: make(http.Header)}
			h.ServeHTTP(q, r)
			if q.status != 200 || q.writes != 1 || q.bytes != size || q.header.Get("Content-Length") != fmt.Sprint(size) ||
				!strings.HasPrefix(q.header.Get("Cache-Status"), "roamproxy; hit") {
				t.Errorf("%d bytes went out in %d writes: %d %v; want a hit of %d in 1", q.bytes, q.writes, q.status, q.header, size)
			}
		})
	}
}

// Two requests that share an answer read it at their own rate, and what roamproxy adds to the header of one does not appear in the other.
//
// Seen to fail with a field added to the header that is shared.
func TestReadersOfOneAnswerDoNotAffectEachOther(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 64<<10)
	asked := make(chan struct{})
	h := newHarness(t, nil, &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
		<-asked
		return reply(r, 200, body, "Content-Type", "text/plain", "Vary", "Origin"), nil
	}}, unmetered, func(p *setup) { p.proxy.Browsers = []string{"http://a.example"} })
	server := httptest.NewServer(h)
	defer server.Close()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			req, _ := http.NewRequest("GET", server.URL+"/v1/groups.list", nil)
			req.Header.Set("Origin", "http://a.example")
			res, err := server.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			var got strings.Builder
			piece := make([]byte, 1000)
			for n, err := 0, error(nil); err == nil; got.Write(piece[:n]) {
				n, err = res.Body.Read(piece)
				runtime.Gosched()
			}
			if got.String() != body || !slices.Equal(res.Header["Vary"], []string{"Origin", "Origin"}) {
				t.Errorf("%d bytes, want %d and the same; Vary is %q", got.Len(), len(body), res.Header["Vary"])
			}
		})
	}
	close(asked)
	all.Wait()
}

// BenchmarkHit measures a hit without net/http's server and the kernel. The header is that of python-requests, and new for each request.
func BenchmarkHit(b *testing.B) {
	sent := http.Header{"Authorization": {"Bearer token-of-a-usual-length-00001"}, "User-Agent": {"python-requests/2.32"}, "Accept": {"*/*"},
		"Accept-Encoding": {"gzip, deflate"}}
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			h, r := answering(b, size, func(p *setup) {
				p.proxy.Tools = []Tool{{Name: "bot", Weight: 1, Tokens: tokens("token-of-a-usual-length-00001")}}
			})
			header := make(http.Header)
			q := &nullWriter{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(q.header)
				r.Header = header
				maps.Copy(header, sent)
				h.ServeHTTP(q, r)
			}
			if q.status != 200 || !strings.HasPrefix(q.header.Get("Cache-Status"), "roamproxy; hit") {
				b.Fatal(q.status, q.header)
			}
		})
	}
}
