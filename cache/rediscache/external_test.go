package rediscache_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/cache"
	"roamproxy/cache/cachetest"
	"roamproxy/cache/rediscache"
	"roamproxy/proxy/roamtest/redistest"
)

// lookup is the same read of every replica. Seal is derived from the secret of the credential.
func lookup() cache.Lookup {
	return cache.Lookup{Key: "k", Route: "/v1/groups.list", Rule: cache.Rule{TTL: time.Minute}, Request: http.Header{}, Seal: []byte("seal")}
}

// An answer that one replica stored is a hit at another one.
func TestReplicasShareAnAnswer(t *testing.T) {
	redis, roam := redistest.NewRedis(t), &cachetest.Upstream{}
	for _, want := range []cache.Result{cache.Miss, cache.Hit} {
		o, err := rueidis.ParseURL(redis.URL())
		if err != nil {
			t.Fatal(err)
		}
		client, err := rueidis.NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		tier := rediscache.New(rediscache.Options{
			Client: func() rueidis.Client { return client }, Prefix: "external", Answer: 1 << 20,
		})
		replica, err := cache.New(cache.Options{Shared: tier})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(replica.Close)
		a, err := replica.Do(t.Context(), lookup(), roam)
		if err != nil || a.Result != want || string(a.Body) != `{"ok":true,"call":1}` {
			t.Errorf("a replica answers %+v (%v), want a %s of the first call", a, err, want)
		}
	}
}

// While Redis is unreachable, which a nil client says, a cache works with its memory alone.
func Example() {
	tier := rediscache.New(rediscache.Options{Client: func() rueidis.Client { return nil }, Prefix: "roamproxy", Answer: 1 << 20})
	c, err := cache.New(cache.Options{Shared: tier})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	roam := &cachetest.Upstream{}
	for range 2 {
		a, err := c.Do(context.Background(), lookup(), roam)
		if err != nil {
			panic(err)
		}
		fmt.Println(a.Result, string(a.Body))
	}
	// Output:
	// miss {"ok":true,"call":1}
	// hit {"ok":true,"call":1}
}
