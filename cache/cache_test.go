package cache

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// roam answers fills and counts them.
type roam struct {
	mu     sync.Mutex
	calls  int
	answer func(call int) (*http.Response, error)
	takes  time.Duration
}

func (r *roam) fill(ctx context.Context) (*http.Response, error) {
	r.mu.Lock()
	r.calls++
	n := r.calls
	r.mu.Unlock()
	if r.takes > 0 {
		select {
		case <-time.After(r.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if r.answer != nil {
		return r.answer(n)
	}
	return response(200, fmt.Sprintf(`{"ok":true,"call":%d}`, n)), nil
}

func response(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), ProtoMajor: 1}
}

func open(t testing.TB, o Options) *Cache {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func groups(header ...string) Question {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return Question{Key: "k", Route: "/v1/groups.list", Rule: Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute}, Request: h}
}

// ask tells the answer's Cache-Status and body, or the error.
func ask(t testing.TB, c *Cache, q Question, r *roam) string {
	t.Helper()
	a, err := c.Do(t.Context(), q, r.fill)
	if err != nil {
		return err.Error()
	}
	body := a.Body
	if a.Stream != nil {
		body, _ = io.ReadAll(a.Stream)
		a.Stream.Close()
	}
	return strings.TrimPrefix(a.CacheStatus(), "roamproxy; ") + " " + string(body)
}

func TestAnswersAreFreshForTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{}
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{0, `fwd=uri-miss; stored {"ok":true,"call":1}`},
			{3 * time.Second, `hit; ttl=27 {"ok":true,"call":1}`},
			{26 * time.Second, `hit; ttl=1 {"ok":true,"call":1}`},
			{time.Second, `fwd=stale; stored {"ok":true,"call":2}`},
			{0, `hit; ttl=30 {"ok":true,"call":2}`},
		} {
			time.Sleep(step.after)
			if got := ask(t, c, groups(), r); got != step.want {
				t.Errorf("%v later: %s, want %s", step.after, got, step.want)
			}
		}
	})
}

// RFC 9111, section 5.2.1.
func TestRequestsSayWhatTheyWant(t *testing.T) {
	for _, tt := range []struct{ name, header, value, want string }{
		{"nothing", "X", "", "hit; ttl=20"},
		{"no-store", "Cache-Control", "no-store", "fwd=bypass"},
		{"no-cache", "Cache-Control", "No-Cache", "fwd=request; stored"},
		{"max-age that it has", "Cache-Control", "max-age=10", "hit; ttl=20"},
		{"max-age that it has not", "Cache-Control", "max-age=9", "fwd=stale; stored"},
		{"max-age that is no number", "Cache-Control", "max-age=soon", "fwd=stale; stored"},
		{"min-fresh that it has", "Cache-Control", "min-fresh=20", "hit; ttl=20"},
		{"min-fresh that it has not", "Cache-Control", "min-fresh=21", "fwd=stale; stored"},
		{"only-if-cached", "Cache-Control", "only-if-cached", "hit; ttl=20"},
		{"only-if-cached and newer", "Cache-Control", "only-if-cached, max-age=1", ErrOnlyIfCached.Error()},
		{"a range", "Range", "bytes=0-1", "fwd=bypass"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, r := open(t, Options{}), &roam{}
			ask(t, c, groups(), r)
			time.Sleep(10 * time.Second)
			if got := ask(t, c, groups(tt.header, tt.value), r); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		})
	}
}

// RFC 9111, section 3, and the stricter rules of the package comment.
func TestOnlyCompleteGoodAnswersAreKept(t *testing.T) {
	ok := `{"ok":true}`
	cut := response(200, ok)
	cut.ContentLength++
	endless := response(200, ok)
	endless.ContentLength = -1
	chunked := response(200, ok)
	chunked.ContentLength, chunked.TransferEncoding = -1, []string{"chunked"}
	for _, tt := range []struct {
		name string
		res  *http.Response
		kept bool
	}{
		{"a list", response(200, ok), true},
		{"a bare array", response(200, `[1,2]`), true},
		{"text", response(200, "WEBVTT", "Content-Type", "text/vtt"), true},
		{"a chunked answer", chunked, true},
		{"ok: false", response(200, `{"ok":false,"error":"x"}`), false},
		{"ok: false at the end", response(200, `{"error":"x","ok":false}`), false},
		{"JSON that is broken", response(200, `{"users":[`), false},
		{"an encoding that we cannot read", response(200, "xx", "Content-Encoding", "br"), false},
		{"no content", response(204, ""), false},
		{"not found", response(404, ok), false},
		{"a failure", response(500, ok), false},
		{"a throttled call", response(429, ok), false},
		{"a part", response(206, ok), false},
		{"a cookie", response(200, ok, "Set-Cookie", "a=b"), false},
		{"no-store", response(200, ok, "Cache-Control", "no-store"), false},
		{"private", response(200, ok, "Cache-Control", `max-age=9, Private="x"`), false},
		{"varying with everything", response(200, ok, "Vary", "Accept, *"), false},
		{"varying with the agent", response(200, ok, "Vary", "User-Agent"), false},
		{"varying with what the key holds", response(200, ok, "Vary", "accept-encoding, Origin"), true},
		{"a body that was cut", cut, false},
		{"a body without an end", endless, false},
	} {
		c := open(t, Options{})
		r := &roam{answer: func(int) (*http.Response, error) { return tt.res, nil }}
		first := ask(t, c, groups(), r)
		if kept := c.store.Get(groups().Key) != nil; kept != tt.kept || strings.Contains(first, "stored") != tt.kept {
			t.Errorf("%s: kept = %v (%s), want %v", tt.name, kept, first, tt.kept)
		}
	}
}

// RFC 9111, sections 4.2.1 and 4.2.3.
func TestOriginDecidesWhereTheRuleSaysSo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header []string
		want   string
	}{
		{"no header", nil, "fwd=uri-miss {"},
		{"max-age", []string{"Cache-Control", "max-age=60"}, "hit; ttl=60 {"},
		{"s-maxage before max-age", []string{"Cache-Control", "max-age=60, s-maxage=90"}, "hit; ttl=90 {"},
		{"an age already", []string{"Cache-Control", "max-age=60", "Age", "20"}, "hit; ttl=40 {"},
		{"Expires", []string{"Date", "Mon, 05 Jan 2026 09:00:00 GMT", "Expires", "Mon, 05 Jan 2026 09:00:30 GMT"}, "hit; ttl=30 {"},
		{"Expires that is no date", []string{"Expires", "0"}, "fwd=uri-miss {"},
		{"no-cache", []string{"Cache-Control", "no-cache, max-age=60"}, "fwd=uri-miss {"},
	} {
		r := &roam{answer: func(int) (*http.Response, error) { return response(200, `{}`, tt.header...), nil }}
		q := groups()
		q.Rule = Rule{Origin: true}
		synctest.Test(t, func(t *testing.T) {
			c := open(t, Options{})
			ask(t, c, q, r)
			if got := ask(t, c, q, r); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		})
	}
}

func TestOldAnswersStandIn(t *testing.T) {
	throttled := func(int) (*http.Response, error) { return nil, errQuota }
	for _, tt := range []struct {
		name   string
		after  time.Duration
		header string
		answer func(int) (*http.Response, error)
		want   string
	}{
		{"while Roam throttles", 70 * time.Second, "", throttled, `hit; ttl=-40; detail=throttled {"ok":true,"call":1}`},
		{"while Roam fails", 70 * time.Second, "", func(int) (*http.Response, error) { return response(503, "{}"), nil }, `hit; ttl=-40; detail=error {"ok":true,"call":1}`},
		{"while Roam is away", 70 * time.Second, "", func(int) (*http.Response, error) { return nil, io.EOF }, `hit; ttl=-40; detail=error {"ok":true,"call":1}`},
		{"but not for ever", 11 * time.Minute, "", throttled, `paused`},
		{"not for who wants a new one", 70 * time.Second, "no-cache", throttled, `paused`},
		{"not when Roam says no", 70 * time.Second, "", func(int) (*http.Response, error) { return response(404, "{}"), nil }, `fwd=stale {}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, r := open(t, Options{Throttled: func(err error) bool { return err == errQuota }}), &roam{}
			ask(t, c, groups(), r)
			time.Sleep(tt.after)
			r.answer = tt.answer
			if got := ask(t, c, groups("Cache-Control", tt.header), r); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		})
	}
}

func TestAWriteDropsWhatItTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{}
		listed := func(route string) bool { return route == "/v1/groups.list" }
		ask(t, c, groups(), r)
		other := groups()
		other.Key, other.Route = "o", "/v1/user.list"
		ask(t, c, other, r)
		if n := c.Drop(listed); n != 1 {
			t.Errorf("%d answers dropped, want 1", n)
		}
		if got := ask(t, c, groups(), r); got != `fwd=uri-miss; stored {"ok":true,"call":3}` {
			t.Errorf("after the write: %s", got)
		}
		if got := ask(t, c, other, r); !strings.HasPrefix(got, "hit") {
			t.Errorf("what the write did not touch: %s", got)
		}
	})
}

// The answer of a read that was under way when the write succeeded may be of before: it reaches who asked before, is not
// kept, and nobody who asks after the write gets it.
func TestAReadThatAWriteOvertookIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{takes: 2 * time.Second}
		var all sync.WaitGroup
		all.Go(func() {
			if got := ask(t, c, groups(), r); got != `fwd=uri-miss {"ok":true,"call":1}` {
				t.Errorf("the read of before: %s", got)
			}
		})
		time.Sleep(time.Second)
		c.Drop(func(string) bool { return true })
		all.Go(func() {
			if got := ask(t, c, groups(), r); got != `fwd=uri-miss; stored {"ok":true,"call":2}` {
				t.Errorf("the read of after: %s", got)
			}
		})
		all.Wait()
	})
}

// The one who asked first, of a wide answer, leaves while others wait for it: the stream must not stay open.
func TestHead(t *testing.T) {
	c, r := open(t, Options{}), &roam{}
	head := groups()
	head.Head = true
	if got := ask(t, c, head, r); strings.Contains(got, "stored") {
		t.Errorf("a HEAD was kept: %s", got)
	}
	ask(t, c, groups(), r)
	if got := ask(t, c, head, r); !strings.HasPrefix(got, "hit") {
		t.Errorf("a HEAD of a kept GET: %s", got)
	}
}

func TestConnectionFieldsAreNotKept(t *testing.T) {
	c := open(t, Options{})
	r := &roam{answer: func(int) (*http.Response, error) {
		return response(200, "{}", "Connection", "close", "Age", "3", "X-Roam", "1"), nil
	}}
	ask(t, c, groups(), r)
	a, _ := c.Do(t.Context(), groups(), r.fill)
	if names := slices.Sorted(maps.Keys(a.Header)); !slices.Equal(names, []string{"Content-Type", "X-Roam"}) {
		t.Errorf("kept %v", names)
	}
}

func BenchmarkHit(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := &roam{answer: func(int) (*http.Response, error) { return response(200, `"`+strings.Repeat("x", size)+`"`), nil }}
			q := groups()
			c.Do(b.Context(), q, r.fill)
			b.ReportAllocs()
			for b.Loop() {
				if a, err := c.Do(b.Context(), q, r.fill); err != nil || a.Result != Hit {
					b.Fatal(a, err)
				}
			}
		})
	}
}
