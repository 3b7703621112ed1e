package limiter

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/proxy/roamtest"
)

// replica is one process that shares quotas, as far as this package can tell.
func replica(t testing.TB, r *roamtest.Redis, replicas int) *Fleet {
	t.Helper()
	f := NewFleet(FleetOptions{Connect: dialer(r), Prefix: "test", Replicas: replicas})
	t.Cleanup(f.Close)
	return f
}

func dialer(r *roamtest.Redis) func() (rueidis.Client, error) {
	return func() (rueidis.Client, error) {
		o, err := rueidis.ParseURL(r.URL())
		if err != nil {
			return nil, err
		}
		o.DisableCache, o.DisableRetry = true, true
		o.Dialer.Timeout = time.Second
		return rueidis.NewClient(o)
	}
}

func share(t testing.TB, f *Fleet, perSecond, burst float64) *Redis {
	t.Helper()
	b, err := f.Bucket("roam", perSecond, burst, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// until waits for something that another goroutine or another program does.
func until(t testing.TB, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func joined(t testing.TB, f *Fleet) {
	t.Helper()
	until(t, "joining", func() bool { return f.Away() == nil })
}

// passes lets a shared bucket's time pass: everything that it knows happened longer ago.
func passes(t testing.TB, b *Redis) func(time.Duration) {
	return func(d time.Duration) {
		t.Helper()
		b.asking.Lock()
		defer b.asking.Unlock()
		err := b.fleet.client.Do(context.Background(), b.fleet.client.B().Hincrby().Key(b.key).Field("full").Increment(-d.Microseconds()).Build()).Error()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisIsABucket(t *testing.T) {
	f := replica(t, roamtest.NewRedis(t), 1)
	b := share(t, f, 1, 3)
	joined(t, f)
	advance := passes(t, b)
	advance(time.Minute)
	until(t, "hearing of it", func() bool { return b.Level(time.Now()) == 3 })
	testBucket(t, heardOf{b}, advance, 500*time.Millisecond)
}

// heardOf tells what Redis knows now, and not what it knew up to a beat ago, and drains it as a refusal by Roam does.
type heardOf struct{ *Redis }

func (b heardOf) Level(now time.Time) float64 {
	b.ask(context.Background(), false)
	return b.Redis.Level(time.Now())
}

func (b heardOf) Drain(now time.Time) {
	b.tell(word{kind: "hold"})
	b.Redis.Drain(now)
	b.ask(context.Background(), false)
}

func (b heardOf) Return(now time.Time) {
	b.Redis.Return(now)
	b.ask(context.Background(), false)
}

func TestQuotaThatRedisDoesNotKnowStartsEmpty(t *testing.T) {
	r := roamtest.NewRedis(t)
	f := replica(t, r, 1)
	b := share(t, f, 1, 10)
	joined(t, f)
	if wait := b.Take(time.Now()); wait == 0 {
		t.Error("a new bucket gave a token, want an empty one: it may be one that Redis lost")
	}
	passes(t, b)(time.Minute)
	if wait := b.Take(time.Now()); wait != 0 {
		t.Errorf("a full bucket: wait %v, want none", wait)
	}
	r.Kill()
	r.Start()
	until(t, "noticing", func() bool { return f.Away() != nil || b.Level(time.Now()) < 1 })
	joined(t, f)
	if wait := b.Take(time.Now()); wait == 0 {
		t.Error("a Redis that was restarted gave a token, want an empty bucket")
	}
}

// asking counts how often a line asks.
type asking struct {
	*Redis
	asked atomic.Int64
}

func (c *asking) Take(now time.Time) time.Duration {
	c.asked.Add(1)
	return c.Redis.Take(now)
}

func TestReplicasDivideTheQuotaEvenly(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n, " replicas"), func(t *testing.T) {
			t.Parallel()
			divide(t, n, 200)
		})
	}
}

// divide lets calls wait at n replicas at all times, until so many have gone.
func divide(t *testing.T, n int, total int64) {
	r := roamtest.NewRedis(t)
	buckets, queues, each := make([]*asking, n), make([]*Queue, n), make([]atomic.Int64, n)
	for i := range n {
		f := replica(t, r, n)
		buckets[i] = &asking{Redis: share(t, f, 50, 5)}
		queues[i] = New(Options{Bucket: buckets[i], MaxWait: time.Minute})
		defer queues[i].Close()
		joined(t, f)
	}
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var got atomic.Int64
	var all sync.WaitGroup
	for i, q := range queues {
		for range 5 {
			all.Go(func() {
				for {
					turn, err := q.Wait(ctx, from("bot").Caller)
					if err != nil {
						return
					}
					turn.Answered()
					turn.Done()
					if got.Add(1) <= total {
						each[i].Add(1)
					} else {
						enough()
					}
				}
			})
		}
	}
	all.Wait()
	asked := int64(0)
	for i := range queues {
		asked += buckets[i].asked.Load()
		if share := float64(each[i].Load()) / float64(total) * float64(n) / 2; share < 0.45 {
			t.Errorf("replica %d of %d got %d of %d calls, want better than 45:55", i+1, n, each[i].Load(), total)
		}
	}
	if most := total * 5 / 2; asked > most {
		t.Errorf("%d replicas asked %d times for %d tokens, want at most %d: once to be told when and once to take it", n, asked, total, most)
	}
}

func BenchmarkRedisTake(b *testing.B) {
	f := replica(b, roamtest.NewRedis(b), 1)
	bucket := share(b, f, 1e6, 1e6)
	joined(b, f)
	b.ReportAllocs()
	for b.Loop() {
		bucket.Take(time.Now())
	}
}
