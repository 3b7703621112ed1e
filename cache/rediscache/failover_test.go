package rediscache

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/cache/cachetest"
	"roamproxy/proxy/roamtest/redistest"
)

// After a failover the new primary may lack the latest invalidation. Seen to fail with a script that trusts any server.
func TestOldEntriesAreIgnoredAfterAFailover(t *testing.T) {
	primary := redistest.NewRedis(t)
	host, port, _ := net.SplitHostPort(primary.Addr)
	second := redistest.NewRedis(t, "--replicaof", host, port)
	connect := func(to *redistest.Redis) *rueidis.Client {
		o, err := rueidis.ParseURL(to.URL())
		if err != nil {
			t.Fatal(err)
		}
		o.DisableCache, o.DisableRetry = true, true
		client, err := rueidis.NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return &client
	}
	copied := connect(second)
	var place atomic.Pointer[rueidis.Client]
	place.Store(connect(primary))
	replica := func() *Tier {
		r := New(Options{Client: func() rueidis.Client { return *place.Load() }, Prefix: "test", Answer: 1 << 20})
		r.timeout, r.ackTimeout = 20*time.Second, 20*time.Second
		return r
	}
	c, roam := open(t, replica()), &cachetest.Upstream{}
	ask(t, c, groups(), roam)
	other := replica()
	if other.Claim("k", groups().Route, seal, false).Entry == nil {
		t.Fatal("the other replica finds no entry, want that of the first")
	}
	key, do := other.entryKey("k"), *copied
	redistest.Eventually(t, "the entry is copied", func() bool {
		there, _ := do.Do(t.Context(), do.B().Exists().Key(key).Build()).AsInt64()
		return there == 1
	})
	if err := do.Do(t.Context(), do.B().Arbitrary("REPLICAOF", "NO", "ONE").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	place.Store(copied)
	if got := other.Claim("k", groups().Route, seal, false).Entry; got != nil {
		t.Errorf("the copy has %q, want no entry from before the failover", got.Body)
	}
	redistest.Eventually(t, "the first replica removes it from its memory, too", func() bool { return !inMemory(t, c) })
}
