package transport_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// roam is Roam as far as a RoundTripper sees it: it answers each call as its script says, and 200 after that, and records what came.
type roam struct {
	takes time.Duration // to answer

	mu     sync.Mutex // guards the following
	sent   []sent
	script []func() (*http.Response, error)
}

type sent struct{ path, body string }

// RoundTrip takes a call to Roam and its answer back.
func (r *roam) RoundTrip(req *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	body := ""
	if req.Body != nil {
		all, _ := io.ReadAll(req.Body)
		req.Body.Close()
		body = string(all)
	}
	res, err := r.answer(sent{req.URL.Path, body})
	if r.takes > 0 && err == nil {
		select {
		case <-time.After(r.takes):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	return res, err
}

func (r *roam) answer(s sent) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, s)
	if len(r.script) == 0 {
		return says(200)()
	}
	next := r.script[0]
	r.script = r.script[1:]
	return next()
}

func (r *roam) calls() int { return len(r.journal()) }

func (r *roam) journal() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// says returns an answer with the header fields given as name, value, name, value.
func says(status int, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("{}")), ProtoMajor: 1, ProtoMinor: 1}, nil
	}
}

func fails(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

// fixture is a RoundTripper in front of a roam.
type fixture struct {
	*roam
	queue *limiter.Queue
	rt    *transport.RoundTripper
}

func newFixture(t *testing.T, perSecond, burst float64, o limiter.Options) *fixture {
	t.Helper()
	var err error
	if o.Bucket, err = limiter.NewLocal(perSecond, burst, 0); err != nil {
		t.Fatal(err)
	}
	f := &fixture{roam: &roam{}, queue: limiter.New(o)}
	t.Cleanup(f.queue.Close)
	f.rt = &transport.RoundTripper{Next: f.roam, Queue: f.queue, Bodies: transport.NewBodies(0, t.TempDir())}
	return f
}

// call sends one call of a tool and reads its answer; the error is RoundTrip's.
func (f *fixture) call(ctx context.Context, method string, made *transport.Call, body string) (int, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(transport.WithCall(ctx, made), method, "http://roam/v1/"+made.Caller.Tool.Name, r)
	if err != nil {
		return 0, err
	}
	res, err := f.rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Body.Close()
}

func (f *fixture) post(tool string) (int, error) {
	return f.call(context.Background(), "POST", from(tool), "{}")
}

func from(tool string) *transport.Call {
	made := new(transport.Call)
	made.Caller = limiter.Caller{Tool: limiter.Tool{Name: tool}, Urgency: limiter.Usual, Longest: -1}
	return made
}
