package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/quotafile"
	"roamproxy/proxy/roamtest"
)

// Seen to fail with a bucket that fills 5 % more slowly.
func TestTwentyFiveCallsTakeFifteenSeconds(t *testing.T) {
	for _, tt := range []struct{ jitter, want time.Duration }{
		{0, 15 * time.Second},
		{200 * time.Millisecond, 15200 * time.Millisecond},
	} {
		inBubble(t, "jitter "+tt.jitter.String(), func(t *testing.T) {
			h := newHarness(t, roamtest.New(roamtest.Options{}), nil, func(p *setup) { p.jitter = tt.jitter })
			start := time.Now()
			h.postAtOnce(t, 25, 200)
			if got := time.Since(start).Round(time.Millisecond); got != tt.want {
				t.Errorf("25 calls took %v, want %v", got, tt.want)
			}
			if got := h.roam.Refused(); got != 0 {
				t.Errorf("Roam refused %d calls, want none", got)
			}
		})
	}
}

// Calls arrive and are abandoned at random, Roam pauses the quota, and the process is killed and started again. Roam refuses no call that
// it is not told to refuse, and no token is left unused while a call is queued and a slot is free.
//
// Seen to fail with a bucket that lends a tenth of a token.
func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(500) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { runRandomSchedule(t, seed, dir) })
		})
	}
}

// runRandomSchedule runs the schedule of a seed, with its state in dir.
func runRandomSchedule(t *testing.T, seed uint64, dir string) {
	random := rand.New(rand.NewPCG(seed, 1))
	rate, burst := []float64{1, 3, 7.5, 40}[random.IntN(4)], 1+random.IntN(12)
	slots := 1 + random.IntN(12)
	roam := roamtest.New(roamtest.Options{Rate: rate, Burst: burst, Latency: time.Duration(random.IntN(1500)) * time.Millisecond})
	start := func() *harness {
		return newHarness(t, roam, nil, func(p *setup) {
			p.rate, p.burst = rate, float64(burst)
			p.queue = limiter.Options{MaxInFlight: slots, MaxWait: time.Minute, MaxPause: 20 * time.Second}
			p.state = quotafile.Open(stateDir(t, dir), "roam")
		})
	}
	h := start()
	var calls sync.WaitGroup
	for range 60 {
		time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / 2))
		switch n := random.IntN(20); {
		case n == 0:
			roam.Script(roamtest.Throttle([]string{"0", "1", "3", "30", "soon"}[random.IntN(5)]))
		case n == 1: // the process is killed with calls in flight, and starts again
			h.queue.Close()
			h = start()
		default:
			for range 1 + random.IntN(4) {
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(4) == 0 {
					time.AfterFunc(time.Duration(random.IntN(5000))*time.Millisecond, cancel)
				}
				to := h
				calls.Go(func() { defer cancel(); to.post(ctx) })
			}
		}
		synctest.Wait()
		if s := h.queue.State(); len(s.Waiting) > 0 && !s.Paused && s.InFlight < slots && s.Tokens >= 1 {
			t.Fatalf("%v are queued, %d of %d slots are taken, and %v tokens are left; want no call queued", s.Waiting, s.InFlight, slots, s.Tokens)
		}
	}
	calls.Wait()
	for i, c := range roam.Journal() {
		if !c.Admitted && !c.Scripted {
			t.Fatalf("rate %v, burst %d: Roam refused call %d, want none", rate, burst, i)
		}
	}
}

// Seen to fail with hits that cause calls.
func TestAHitSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{}), nil)
		h.do(t.Context(), "GET", "/v1/groups.list", "")
		for range 9 {
			h.post(t.Context())
		}
		start := time.Now()
		for range 50 {
			w := h.do(t.Context(), "GET", "/v1/groups.list", "")
			if got := w.Header().Get("Cache-Status"); w.Code != 200 || got != "roamproxy; hit; ttl=30" {
				t.Fatalf("%d, Cache-Status %q; want a hit", w.Code, got)
			}
		}
		if took := time.Since(start); took != 0 || h.roam.Calls() != 10 {
			t.Errorf("with an empty bucket 50 hits took %v and Roam saw %d calls; want no time and the 10 of before", took, h.roam.Calls())
		}
	})
}

func TestAHundredEqualReadsAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{Latency: time.Second}), nil)
		var all sync.WaitGroup
		var good atomic.Int32
		for range 100 {
			all.Go(func() {
				if w := h.do(t.Context(), "GET", "/v1/user.list?limit=100", ""); w.Code == 200 && w.Body.Len() > 1000 {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if h.roam.Calls() != 1 || good.Load() != 100 {
			t.Errorf("%d calls for %d good answers, want 1 for 100", h.roam.Calls(), good.Load())
		}
	})
}

func TestRoamsPauseDelaysEveryTool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{}), nil)
		h.roam.Script(roamtest.Throttle("5"))
		start := time.Now()
		h.postAtOnce(t, 3, 200)
		if took := time.Since(start); took < 5*time.Second || h.roam.Refused() != 1 {
			t.Errorf("took %v with %d refusals; want the pause of 5 s and the scripted one alone", took, h.roam.Refused())
		}
	})
}

// Seen to fail with every call admitted.
func TestARefusedCallIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{}), nil, func(p *setup) { p.queue.MaxQueue = 30 })
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { h.post(ctx) })
		}
		time.Sleep(2 * rateLimitAge)
		start := time.Now()
		w := h.do(t.Context(), "POST", "/v1/chat.post", `{"chat":"C-1"}`, "Prefer", "wait=3")
		want := `{"error":"ratelimited","message":"The call would be queued for longer than it may wait; ` +
			`it was not sent and may be repeated.","ok":false,"reason":"wait_too_long","retry_after":8}` + "\n"
		if w.Code != 429 || time.Since(start) != 0 || w.Body.String() != want || w.Header().Get("Retry-After") != "8" ||
			w.Header().Get("Preference-Applied") != "wait=3" {
			t.Errorf("%d after %v: %s %v\nwant %s", w.Code, time.Since(start), w.Body, w.Header(), want)
		}
		if got := w.Header().Get("Roamproxy-Error"); got != "wait_too_long" {
			t.Errorf("Roamproxy-Error = %q, want wait_too_long", got)
		}
		if got := w.Header().Get("Ratelimit"); got != `"roam";r=0;t=11` { // ten calls are queued before the next one
			t.Errorf("RateLimit = %q, want none left and 11 s", got)
		}
		before := h.roam.Calls()
		cancel()
		calls.Wait()
		if got := h.roam.Calls(); got != before {
			t.Errorf("%d calls of tools that had left were sent, want none", got-before)
		}
	})
}

// Seen to fail with 502 at shutdown.
func TestQueuedCallsAreAnsweredAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, roamtest.New(roamtest.Options{Burst: 1}), nil, func(p *setup) { p.burst = 1 })
		h.post(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() {
			w := h.do(t.Context(), "POST", "/v1/chat.post", `{}`)
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Roamproxy-Error") != "shutting_down" {
				t.Errorf("%d %v, want 503 shutting_down with a Retry-After", w.Code, w.Header())
			}
		})
		synctest.Wait()
		h.queue.Close()
		waiting.Wait()
	})
}
