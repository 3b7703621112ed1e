package cache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// roam is a request whose fills are answered and counted.
type roam struct {
	mu     sync.Mutex
	calls  int
	asked  []Call // the Call of each
	answer func(call int) (*http.Response, error)
	takes  time.Duration
	queue  *testQueue // nil: always idle
}

func (r *roam) NewFill() Fill          { return r }
func (r *roam) MaxWait() time.Duration { return -1 }

func (r *roam) Queue() (idle, paused bool) {
	if r.queue == nil {
		return true, false
	}
	return r.queue.state()
}

func (r *roam) Join(Requester) {
	if r.queue != nil {
		r.queue.join()
	}
}

func (r *roam) Expired(Requester) error {
	if r.queue == nil {
		return nil
	}
	return r.queue.expired()
}

// fillFunc is a request whose fills are a function.
type fillFunc func(context.Context, Call) (*http.Response, error)

func (f fillFunc) NewFill() Fill            { return f }
func (fillFunc) MaxWait() time.Duration     { return -1 }
func (fillFunc) Queue() (idle, paused bool) { return true, false }
func (fillFunc) Join(Requester)             {}
func (fillFunc) Expired(Requester) error    { return nil }

func (f fillFunc) Fetch(ctx context.Context, c Call) (*http.Response, error) { return f(ctx, c) }

func (r *roam) Fetch(ctx context.Context, c Call) (*http.Response, error) {
	r.mu.Lock()
	r.calls++
	r.asked = append(r.asked, c)
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
	return &http.Response{
		StatusCode:    status,
		Header:        h,
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		ProtoMajor:    1,
	}
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

// inBubble runs a subtest in simulated time.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func groups(header ...string) Lookup {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return Lookup{Key: "k", Route: "/v1/groups.list", Rule: Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute}, Request: h}
}

// ask returns the answer's Cache-Status and body, or the error.
func ask(t testing.TB, c *Cache, q Lookup, r *roam) string {
	t.Helper()
	a, err := c.Do(t.Context(), q, r)
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

func TestAnAnswerIsFreshForItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{}
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{0, `fwd=uri-miss; stored {"ok":true,"call":1}`},
			{3 * time.Second, `hit; ttl=27 {"ok":true,"call":1}`},
			{26 * time.Second, `hit; ttl=1 {"ok":true,"call":1}`},
			{time.Second, `hit; ttl=0; detail=revalidating {"ok":true,"call":1}`},
			{0, `hit; ttl=30 {"ok":true,"call":2}`},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := ask(t, c, groups(), r); got != step.want {
				t.Errorf("%v later: %s, want %s", step.after, got, step.want)
			}
		}
	})
}

func TestAWriteInvalidatesWhatItAffects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{}
		listed := func(route string) bool { return route == "/v1/groups.list" }
		ask(t, c, groups(), r)
		other := groups()
		other.Key, other.Route = "o", "/v1/user.list"
		ask(t, c, other, r)
		if n := c.Invalidate(listed); n != 1 {
			t.Errorf("%d answers invalidated, want 1", n)
		}
		if got := ask(t, c, groups(), r); got != `fwd=uri-miss; stored {"ok":true,"call":3}` {
			t.Errorf("after the write: %s, want the third call's answer, stored", got)
		}
		if got := ask(t, c, other, r); !strings.HasPrefix(got, "hit") {
			t.Errorf("a route that the write does not affect: %s, want a hit", got)
		}
	})
}

// A read that runs while a write succeeds may get an answer from before the write. Its waiter gets that answer. It is not stored, and
// no later request shares it.
//
// Seen to fail with such an answer stored.
func TestAFillThatAWriteInvalidatedIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{takes: 2 * time.Second}
		var all sync.WaitGroup
		all.Go(func() {
			if got := ask(t, c, groups(), r); got != `fwd=uri-miss {"ok":true,"call":1}` {
				t.Errorf("the read that began before the write: %s, want the first answer, not stored", got)
			}
		})
		time.Sleep(time.Second)
		c.Invalidate(func(string) bool { return true })
		all.Go(func() {
			if got := ask(t, c, groups(), r); got != `fwd=uri-miss; stored {"ok":true,"call":2}` {
				t.Errorf("the read that began after it: %s, want the second answer, stored", got)
			}
		})
		all.Wait()
	})
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
			c.Do(b.Context(), q, r)
			b.ReportAllocs()
			for b.Loop() {
				if a, err := c.Do(b.Context(), q, r); err != nil || a.Result != Hit {
					b.Fatal(a, err)
				}
			}
		})
	}
}

// BenchmarkLookup finds an entry among 100 and among 100,000 small ones.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n, "entries"), func(b *testing.B) {
			m, err := NewMemory(1 << 30)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			keys := make([]Key, n)
			for i := range keys {
				keys[i] = Key(fmt.Sprintf("org GET /v1/user.info?id=%d", i))
				if !m.Set(keys[i], &Entry{Route: "/v1/user.info", Header: http.Header{}, Body: []byte("{}")}) {
					b.Fatal("not stored")
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if m.Get(keys[i*7919%n]) == nil {
					b.Fatal("gone")
				}
			}
		})
	}
}
