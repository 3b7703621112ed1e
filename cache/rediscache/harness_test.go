package rediscache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roamproxy/cache"
	"roamproxy/cache/cachetest"
)

// A client of a Cluster reads its topology again after a second, and closes connections to lost nodes after five. Close does not end that
// sooner.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
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
	_, err := c.Do(t.Context(), groups("Cache-Control", "only-if-cached"), &cachetest.Upstream{})
	return err == nil
}
