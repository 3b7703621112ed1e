package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"testing"
	"time"

	"roamproxy/proxy/roamtest/usage"
)

// piecewiseBody is a body of several pieces. With cut, it fails after the first.
type piecewiseBody struct {
	pieces [][]byte
	cut    error
}

func (b *piecewiseBody) Read(p []byte) (int, error) {
	if len(b.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.pieces[0])
	if b.pieces[0] = b.pieces[0][n:]; len(b.pieces[0]) == 0 {
		if b.pieces = b.pieces[1:]; len(b.pieces) > 0 && b.cut != nil {
			return n, b.cut
		}
	}
	return n, nil
}
func (b *piecewiseBody) Close() error { return nil }

// Answers of every size arrive complete on one connection, and one that is cut off is not taken for a complete one.
func TestPassedThroughAnswersOfAllSizes(t *testing.T) {
	answers := make(chan *http.Response, 1)
	h := newHarness(t, nil, &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
		res := <-answers
		res.Request = r
		return res, nil
	}}, unmetered)
	base := served(t, h)
	client := &http.Client{Timeout: 10 * time.Second} // if a header never comes
	for _, size := range []int{0, 1, 1 << 10, 4 << 10, 8 << 10, 16 << 10, copySize, copySize + 1, 1 << 20} {
		for _, cut := range []error{nil, errors.New("reset")} {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			answer := reply(nil, 200, "")
			answer.ContentLength, answer.Body = int64(size), &piecewiseBody{[][]byte{body[:size/2], body[size/2:]}, cut}
			answers <- answer
			res, err := client.Post(base+"/v1/chat.post", "application/json", strings.NewReader(fmt.Sprintf(`{"text":"%d %v"}`, size, cut)))
			if err != nil {
				if cut == nil || size > 8<<10 {
					t.Errorf("%d bytes, cut by %v: %v, want an answer", size, cut, err)
				}
				continue
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			switch {
			case cut == nil && (err != nil || !bytes.Equal(got, body)):
				t.Errorf("%d of %d bytes came, with %v; want all", len(got), size, err)
			case cut != nil && size > 1 && err == nil:
				t.Errorf("%d of %d bytes came without an error, want one", len(got), size)
			}
		}
		answer := reply(nil, 200, "", "Content-Length", strconv.Itoa(size))
		answer.ContentLength = int64(size)
		answers <- answer
		res, err := client.Head(base + "/v1/meeting.search")
		if err != nil || res.ContentLength != int64(size) {
			t.Errorf("a HEAD of %d bytes: %v, %v; want that length", size, res, err)
		}
	}
}

// BenchmarkPassThrough measures a call that is passed through, with a free token and without a state file, beside a bare
// httputil.ReverseProxy with the same Transport. roamproxy promises at most 1.3 times as much.
func BenchmarkPassThrough(b *testing.B) {
	body := strings.Repeat("x", 4<<10)
	roam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}))
	defer roam.Close()
	transport := newTransport(b, 10)
	target := mustParse(roam.URL)
	h := newHarness(b, nil, transport, func(p *setup) {
		p.rate, p.burst = 1e6, 1000
		p.proxy.Upstream = target
	})
	h.o.Observer = nullObserver{}
	bare := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport,
		BufferPool: new(buffers)}
	for _, proxy := range []struct {
		name string
		http.Handler
	}{{"ReverseProxy", bare}, {"roamproxy", h}} {
		b.Run(proxy.name, func(b *testing.B) {
			address := served(b, proxy)
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			used := usage.ProcessorTime()
			for b.Loop() {
				req, _ := http.NewRequest("GET", address+"/v1/meeting.search", nil)
				req.Header.Set("X-Own", "1") // so that no equal call is shared
				res, err := client.Do(req)
				if err != nil || res.StatusCode != 200 {
					b.Fatal(res, err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			b.ReportMetric(float64(usage.ProcessorTime()-used)/float64(b.N), "cpu-ns/op") // less noisy than elapsed time on a busy machine
		})
	}
}
