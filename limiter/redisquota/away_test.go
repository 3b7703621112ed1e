package redisquota

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/limiter"
	"roamproxy/limiter/bootclock"
	"roamproxy/proxy/roamtest/redistest"
)

// do runs a command of redis-cli's kind.
func do(t *testing.T, r *redistest.Redis, command string) {
	t.Helper()
	o, err := rueidis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	o.ForceSingleClient = true // this node and no other one of a Cluster
	c, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	args := strings.Fields(command)
	if err := c.Do(context.Background(), c.B().Arbitrary(args...).Build()).Error(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// does returns a step that sends a command to Redis.
func does(command string) func(*testing.T, *redistest.Redis) {
	return func(t *testing.T, r *redistest.Redis) { do(t, r, command) }
}

// user is what the documents say that a user of Redis must be allowed.
const user = "ACL SETUSER replica on >secret ~{test}:* &{test}:* +@connection +@read +@write +@scripting +@pubsub +info +time"

// However Redis is away, a call does not wait for it, the reason is reported once, and when it is back the replica rejoins.
func TestRedisAwayInEveryForm(t *testing.T) {
	for _, tt := range []struct {
		name          string
		breaks, mends func(*testing.T, *redistest.Redis)
		want          string // in the reason
	}{
		{"refused", func(_ *testing.T, r *redistest.Redis) { r.Kill() }, func(t *testing.T, r *redistest.Redis) {
			r.Start()
			do(t, r, user)
		}, ""},
		{"hanging", func(_ *testing.T, r *redistest.Redis) { r.Hang() }, func(_ *testing.T, r *redistest.Redis) { r.Resume() }, "deadline"},
		{"a copy that may not be written", does("REPLICAOF 127.0.0.1 1"), does("REPLICAOF NO ONE"), "READONLY"},
		{"out of memory", does("CONFIG SET maxmemory 1"), does("CONFIG SET maxmemory 0"), "OOM"},
		{"a user without rights", does("ACL SETUSER replica -set"), does("ACL SETUSER replica +set"), "can't run"},
		{"another password", func(t *testing.T, r *redistest.Redis) {
			do(t, r, "ACL SETUSER replica resetpass >other")
			do(t, r, "CLIENT KILL USER replica")
		}, does("ACL SETUSER replica >secret"), "WRONGPASS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := redistest.NewRedis(t)
			do(t, r, user)
			var reason atomic.Pointer[string]
			var changes atomic.Int64
			f := newSession(Options{Prefix: "test", Replicas: 2, Connect: func() (rueidis.Client, error) {
				o, err := rueidis.ParseURL("redis://replica:secret@" + r.Addr)
				if err != nil {
					return nil, err
				}
				o.DisableCache, o.DisableRetry, o.Dialer.Timeout, o.ConnWriteTimeout = true, true, time.Second, 2*time.Second
				return rueidis.NewClient(o)
			}, OnConnectionChange: func(away error) {
				changes.Add(1)
				if away != nil {
					text := away.Error()
					reason.Store(&text)
				}
			}}, time.Second)
			t.Cleanup(f.Close)
			b := share(t, f, 50, 5)
			joined(t, f)
			start := changes.Load()
			tt.breaks(t, r)
			until(t, "going on alone, and why", func() bool {
				b.Take(time.Now(), limiter.Demand{})
				return f.Away() != nil && reason.Load() != nil && strings.Contains(*reason.Load(), tt.want)
			})
			until(t, "a token of its own", func() bool { return b.Take(time.Now(), limiter.Demand{}) == 0 })
			if rate := b.Part().Rate; rate != 0.5 {
				t.Errorf("goes on at %v of the rate, want half", rate)
			}
			tt.mends(t, r)
			since := time.Now()
			joined(t, f)
			if took := time.Since(since); took > 5*time.Second {
				t.Errorf("back after %v, want within 5 s", took)
			}
			until(t, "the report that it is back", func() bool { return changes.Load()-start >= 2 })
			if got := changes.Load() - start; got > 3 {
				t.Errorf("%d changes were reported, want 2: away and back; or 3: away, why, and back", got)
			}
		})
	}
}

// slow is a way to Redis on which every answer takes its time.
func slow(t *testing.T, to string, by *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			pass := func(dst, src net.Conn, late bool) {
				defer dst.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := src.Read(buf)
					if late {
						time.Sleep(time.Duration(by.Load()))
					}
					if _, w := dst.Write(buf[:n]); err != nil || w != nil {
						return
					}
				}
			}
			go pass(out, in, false)
			go pass(in, out, true)
		}
	}()
	return l.Addr().String()
}

// The times are longer than in earnest, for the sake of a busy machine.
func TestASlowRedisIsUsedOrLeft(t *testing.T) {
	r := redistest.NewRedis(t)
	var late atomic.Int64
	var changes atomic.Int64
	through := &redistest.Redis{Addr: slow(t, r.Addr, &late)}
	o := Options{Connect: dialer(through), Prefix: "test", Replicas: 2, OnConnectionChange: func(error) { changes.Add(1) }}
	f := newSession(o, 2*time.Second)
	t.Cleanup(f.Close)
	b := share(t, f, 50, 5)
	joined(t, f)
	late.Store(int64(200 * time.Millisecond))
	before := changes.Load()
	for range 5 {
		if _, err := b.ask(t.Context(), func(*request) {}); err != nil {
			t.Errorf("a late answer: %v", err)
		}
	}
	if got := changes.Load() - before; got > 0 {
		t.Errorf("answers take a tenth of our patience: %d changes were reported, want that it is used", got)
	}
	late.Store(int64(3 * time.Second))
	until(t, "leaving", func() bool { b.Take(bootclock.Now(), limiter.Demand{}); return f.Away() != nil })
	until(t, "a token of its own", func() bool { return b.Take(time.Now(), limiter.Demand{}) == 0 })
	late.Store(0)
	joined(t, f)
}

// hung is a Redis that never answers.
type hung struct{ rueidis.Client }

func (hung) Do(ctx context.Context, _ rueidis.Completed) rueidis.RedisResult {
	<-ctx.Done()
	return rueidis.NewErrorResult(ctx.Err())
}

func TestNoCallWaitsLongForRedis(t *testing.T) {
	client, err := dialer(redistest.NewRedis(t))() // which makes the commands, and is asked nothing
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Connect: func() (rueidis.Client, error) { return hung{client}, nil }, Replicas: 2})
		defer f.Close()
		b := share(t, f, 50, 5)
		longest := time.Duration(0)
		for i := range 200 {
			time.Sleep(time.Second + time.Duration(i)*time.Millisecond) // a renewal may be under way, or about to be
			b.mu.Lock()
			b.joined = true // as it was until a moment ago
			b.mu.Unlock()
			asked := time.Now()
			b.Take(asked, limiter.Demand{})
			longest = max(longest, time.Since(asked))
		}
		if longest > 2*patience || longest < patience {
			t.Errorf("a call waited up to %v for a Redis that hangs, want at most %v", longest, 2*patience)
		}
	})
}
