package rediscache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roamproxy/cache"
)

// A client of a Cluster looks at it again after a second, and hangs up on nodes that are gone after five; nothing wakes it sooner.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

// roam answers fills and counts them.
type roam struct {
	mu    sync.Mutex
	calls int
	takes time.Duration
}

func (r *roam) NewFill() cache.Fill         { return r }
func (*roam) MaxWait() time.Duration        { return -1 }
func (*roam) Queue() (idle, paused bool)    { return true, false }
func (*roam) Join(cache.Requester)          {}
func (*roam) Expired(cache.Requester) error { return nil }

func (r *roam) Fetch(ctx context.Context, _ cache.Call) (*http.Response, error) {
	r.mu.Lock()
	r.calls++
	n := r.calls
	r.mu.Unlock()
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return response(fmt.Sprintf(`{"ok":true,"call":%d}`, n)), nil
}

// fillFunc is a request whose fills are a function.
type fillFunc func() *http.Response

func (f fillFunc) NewFill() cache.Fill         { return f }
func (fillFunc) MaxWait() time.Duration        { return -1 }
func (fillFunc) Queue() (idle, paused bool)    { return true, false }
func (fillFunc) Join(cache.Requester)          {}
func (fillFunc) Expired(cache.Requester) error { return nil }

func (f fillFunc) Fetch(context.Context, cache.Call) (*http.Response, error) { return f(), nil }

func response(body string) *http.Response {
	return &http.Response{
		StatusCode:    200,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		ProtoMajor:    1,
	}
}

// seal is that of the credential of these tests.
var seal = []byte("seal")

func open(t testing.TB, tier *Tier) *cache.Cache {
	t.Helper()
	c, err := cache.New(cache.Options{Shared: tier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func groups(header ...string) cache.Lookup {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return cache.Lookup{
		Key:     "k",
		Route:   "/v1/groups.list",
		Rule:    cache.Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute},
		Request: h,
		Seal:    seal,
	}
}

// ask returns the answer's Cache-Status and body, or the error.
func ask(t testing.TB, c *cache.Cache, q cache.Lookup, r cache.Requester) string {
	t.Helper()
	a, err := c.Do(t.Context(), q, r)
	if err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(a.CacheStatus(), "roamproxy; ") + " " + string(a.Body)
}

// inMemory reports whether the memory of a replica has an answer.
func inMemory(t testing.TB, c *cache.Cache) bool {
	t.Helper()
	_, err := c.Do(t.Context(), groups("Cache-Control", "only-if-cached"), &roam{})
	return err == nil
}
