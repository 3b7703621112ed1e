package limiter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// roam is Roam as far as the queue sees it: a quota counted in whole nanoseconds by the arrival time at which the
// bucket would be full (GCRA), and a record of what came. A script answers in the quota's stead, call by call.
type roam struct {
	every time.Duration // between calls
	burst int
	takes time.Duration // to answer

	mu      sync.Mutex
	full    time.Time
	sent    []sent
	refused int
	script  []func(*http.Request) (*http.Response, error)
}

type sent struct {
	at     time.Time
	path   string
	body   string
	status int
}

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
	res, err := r.answer(req)
	r.mu.Lock()
	s := sent{at: time.Now(), path: req.URL.Path, body: body}
	if res != nil {
		s.status = res.StatusCode
	}
	r.sent = append(r.sent, s)
	r.mu.Unlock()
	if r.takes > 0 && err == nil {
		select {
		case <-time.After(r.takes):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	return res, err
}

func (r *roam) answer(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.script) > 0 {
		next := r.script[0]
		r.script = r.script[1:]
		return next(req)
	}
	return r.byQuota()
}

// byQuota answers as the quota allows. The lock is held.
func (r *roam) byQuota() (*http.Response, error) {
	if !r.spend(time.Now()) {
		r.refused++
		return reply(429, "Retry-After", "10"), nil
	}
	return reply(200), nil
}

// spend takes a token if there is one.
func (r *roam) spend(now time.Time) bool {
	if r.full.Before(now) {
		r.full = now
	}
	if r.full.Add(r.every).Sub(now) > r.every*time.Duration(r.burst) {
		return false
	}
	r.full = r.full.Add(r.every)
	return true
}

// spendAll spends all tokens, as another client would.
func (r *roam) spendAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.spend(time.Now()) {
	}
}

func (r *roam) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

func (r *roam) journal() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// reply makes an answer with the header fields given as name, value, name, value.
func reply(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("{}")), ProtoMajor: 1, ProtoMinor: 1}
}

func says(status int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return reply(status, header...), nil }
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// fixture is a queue in front of a roam that has the same quota.
type fixture struct {
	*roam
	queue *Queue
	rt    *Transport
}

func newFixture(t *testing.T, perSecond float64, burst int, jitter time.Duration, o Options) *fixture {
	t.Helper()
	f := &fixture{roam: &roam{every: time.Duration(float64(time.Second) / perSecond), burst: burst}}
	if o.Bucket == nil {
		b, err := NewLocal(perSecond, float64(burst), jitter)
		if err != nil {
			t.Fatal(err)
		}
		o.Bucket = b
	}
	f.queue = New(o)
	t.Cleanup(f.queue.Close)
	f.rt = &Transport{Next: f.roam, Queue: f.queue, Bodies: NewBodies(0, t.TempDir())}
	return f
}

// call sends one call of a tool and reads its answer; the error is RoundTrip's.
func (f *fixture) call(ctx context.Context, method string, made *Call, body string) (int, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(WithCall(ctx, made), method, "http://roam/v1/"+made.Caller.Tool.Name, r)
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

func from(tool string) *Call {
	return &Call{Caller: Caller{Tool: Tool{Name: tool}, Urgency: Usual, Longest: -1}}
}

func within(d time.Duration, tool string) *Call {
	made := from(tool)
	made.Caller.Longest = d
	return made
}

// refusalOf fails the test unless err is a Refusal for this reason.
func refusalOf(t *testing.T, err, reason error) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || !errors.Is(err, reason) {
		t.Fatalf("error = %v, want a refusal: %v", err, reason)
	}
	return r
}

func since(start time.Time, s []sent) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, "%v ", c.at.Sub(start))
	}
	return b.String()
}
