package redisquota

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/limiter"
	"roamproxy/limiter/buckettest"
	"roamproxy/proxy/roamtest/redistest"
)

// replica is one process that shares quotas, as far as this package is concerned, and bears a busy machine.
func replica(t testing.TB, r located, replicas int) *Session {
	t.Helper()
	f := newSession(Options{Connect: dialer(r), Prefix: "test", Replicas: replicas}, 20*time.Second)
	t.Cleanup(f.Close)
	return f
}

func dialer(r located) func() (rueidis.Client, error) {
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

// cuttableFleet is one of two replicas, with the way by which it reaches Redis.
func cuttableFleet(t testing.TB, r *redistest.Redis) (*Session, *wire) {
	w := &wire{redis: r}
	f := New(Options{Connect: w.connect, Prefix: "test", Replicas: 2})
	t.Cleanup(f.Close)
	return f, w
}

func share(t testing.TB, f *Session, perSecond, burst float64) *Bucket {
	t.Helper()
	b, err := f.Bucket("roam", perSecond, burst, 0, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// until waits until a condition holds that another goroutine or another program brings about.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	redistest.Eventually(t, what, holds)
}

func joined(t testing.TB, f *Session) {
	t.Helper()
	until(t, "joining", func() bool { return f.Away() == nil })
}

// passes lets a shared bucket's time pass: it is full sooner. The bucket gets the news, as with any renewal.
func passes(t testing.TB, b *Bucket) func(time.Duration) {
	const script = `local q = cjson.decode(redis.call('GET', KEYS[1]))
		q.full = string.format('%.0f', q.full - ARGV[1])
		redis.call('SET', KEYS[1], cjson.encode(q))`
	return func(d time.Duration) {
		t.Helper()
		b.asking <- struct{}{}
		client := b.session.connection()
		command := client.B().Eval().Script(script).Numkeys(1).Key(b.key).Arg(strconv.FormatInt(d.Microseconds(), 10)).Build()
		err := client.Do(context.Background(), command).Error()
		<-b.asking
		if err != nil && !rueidis.IsRedisNil(err) {
			t.Fatal(err)
		}
		if _, err := b.ask(context.Background(), func(*request) {}); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		b.next = time.Time{}
		b.mu.Unlock()
	}
}

// bot is a call as tests make it.
var bot = limiter.Caller{Tool: limiter.Tool{Name: "bot"}, Urgency: limiter.Usual, Longest: -1}

func TestRedisIsABucket(t *testing.T) {
	f := replica(t, redistest.NewRedis(t), 1)
	b := share(t, f, 1, 3)
	joined(t, f)
	advance := passes(t, b)
	advance(time.Minute)
	buckettest.Run(t, b, advance, 500*time.Millisecond)
}

func TestQuotaThatRedisDoesNotKnowStartsEmpty(t *testing.T) {
	r := redistest.NewRedis(t)
	f := replica(t, r, 1)
	b := share(t, f, 1, 10)
	joined(t, f)
	if wait := b.Take(time.Now(), limiter.Demand{}); wait == 0 {
		t.Error("a new bucket gave a token, want an empty one: it may be one that Redis lost")
	}
	passes(t, b)(time.Minute)
	if wait := b.Take(time.Now(), limiter.Demand{}); wait != 0 {
		t.Errorf("a full bucket: wait %v, want none", wait)
	}
	r.Kill()
	r.Start()
	until(t, "noticing", func() bool { return f.Away() != nil || b.Level(time.Now()) < 1 })
	joined(t, f)
	if wait := b.Take(time.Now(), limiter.Demand{}); wait == 0 {
		t.Error("a Redis that was restarted gave a token, want an empty bucket")
	}
}

func TestReplicasDivideTheQuotaEvenly(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n, " replicas"), func(t *testing.T) {
			t.Parallel()
			divide(t, n, 200)
		})
	}
}

// divide keeps calls queued at n replicas, until so many were sent, and counts what each got and what Redis was asked.
func divide(t *testing.T, n, total int) {
	r := redistest.NewRedis(t)
	replicas := replicasOf(t, r, n, 40, 2) // after a stall of the machine the first replica would take a larger burst
	do(t, r, "CONFIG RESETSTAT")
	start := time.Now()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var mu sync.Mutex // guards the following
	got, each := 0, make([]int, n)
	var all sync.WaitGroup
	for i, p := range replicas {
		for range 5 {
			all.Go(func() {
				for {
					permit, err := p.queue.Wait(ctx, bot)
					if err != nil {
						return
					}
					permit.Answered()
					permit.Release()
					mu.Lock()
					if got < total {
						got++
						each[i]++
					} else {
						enough()
					}
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	for i := range replicas {
		if share := float64(each[i]) / float64(total) * float64(n) / 2; share < 0.45 {
			t.Errorf("replica %d of %d got %d of %d calls, want better than 45:55", i+1, n, each[i], total)
		}
	}
	// A replica that asks often needs no renewal. On a busy machine some ask too soon, because another came late.
	asked, renewals := r.Calls("evalsha"), int(time.Since(start)/leastRenewal)*n
	t.Logf("%d requests for %d tokens of %d replicas in the time of %d renewals; each got %d", asked, total, n, renewals, each)
	if most := total * 3 / 2; asked > most {
		t.Errorf("%d replicas asked %d times for %d tokens, want about once for each, and not more than %d times", n, asked, total, most)
	}
}

func BenchmarkRedisTake(b *testing.B) {
	f := replica(b, redistest.NewRedis(b), 1)
	bucket := share(b, f, 1e6, 1e6)
	joined(b, f)
	b.ReportAllocs()
	for b.Loop() {
		bucket.Take(time.Now(), limiter.Demand{})
	}
}
