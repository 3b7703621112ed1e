package limiter

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Seen to fail with a reload that fills the bucket.
func TestAReloadLeavesTheLevelAlone(t *testing.T) {
	for _, tt := range []struct {
		name              string
		level             float64
		rate, burst, want float64
		jitter            time.Duration
		next              time.Duration // until there is a token, after the level was spent
	}{
		{"the same again", 4, 1, 10, 4, 0, time.Second},
		{"a larger burst is not filled", 4, 1, 20, 4, 0, time.Second},
		{"a smaller burst takes what it cannot hold", 9, 1, 5, 5, 0, time.Second},
		{"a higher rate refills from the same level", 2, 4, 10, 2, 0, time.Second / 4},
		{"jitter holds its share back", 10, 1, 10, 9, time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := NewLocal(1, 10, 0)
				b.Restore(time.Now(), tt.level)
				if err := b.Reconfigure(tt.rate, tt.burst, tt.jitter); err != nil {
					t.Fatal(err)
				}
				if got := b.Level(time.Now()); got != tt.want {
					t.Errorf("level = %v, want %v", got, tt.want)
				}
				for b.Level(time.Now()) >= 1 {
					take(b)
				}
				if got := take(b); got != tt.next {
					t.Errorf("the next token comes in %v, want %v", got, tt.next)
				}
				if err := b.Reconfigure(0, 10, 0); err == nil {
					t.Error("a rate of 0 was taken, want an error")
				}
				if got := b.Limits().Rate; got != tt.rate {
					t.Errorf("after a refused change the rate is %v, want %v", got, tt.rate)
				}
			})
		})
	}
}

// The dispatcher sleeps until the slow quota's next token. It wakes up when the quota becomes a fast one.
func TestAReloadWakesAQueueThatWaitsForASlowQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := NewLocal(0.001, 1, 0)
		f := newFixture(t, 100, 1, 0, Options{Bucket: b, MaxWait: time.Hour})
		f.post("bot")
		start := time.Now()
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() { f.post("bot") })
		}
		time.Sleep(10 * time.Second)
		b.Reconfigure(1, 1, 0)
		f.queue.Reconfigure(Options{MaxWait: time.Hour})
		calls.Wait()
		if got := time.Since(start); got < 12*time.Second || got > 13*time.Second {
			t.Errorf("three calls went within %v, want 13s less the 0.01 of a token that had accrued", got)
		}
	})
}

func TestAReloadKeepsQueuedCallsAndThoseInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, 100, 0, Options{MaxInFlight: 2, MaxQueue: 10})
		f.takes = 10 * time.Second
		var calls sync.WaitGroup
		ask := func(n int) {
			for range n {
				calls.Go(func() {
					if err := f.post("bot"); err != nil {
						t.Errorf("a call that was queued was refused: %v", err)
					}
				})
			}
			synctest.Wait()
		}
		ask(8)
		f.queue.Reconfigure(Options{MaxInFlight: 5, MaxQueue: 2, MaxWait: time.Second})
		synctest.Wait()
		if s := f.queue.State(); s.InFlight != 5 || s.Waiting["bot"] != 3 || s.Capacity != 2 {
			t.Errorf("%d under way, %d waiting, room for %d; want 5, 3 and 2", s.InFlight, s.Waiting["bot"], s.Capacity)
		}
		err := f.post("late")
		refusalOf(t, err, ErrQueueFull)
		f.queue.Reconfigure(Options{MaxInFlight: 1, MaxQueue: 10})
		calls.Wait()
		if s := f.queue.State(); s.InFlight != 0 {
			t.Errorf("%d slots taken at the end, want 0", s.InFlight)
		}
	})
}

// Seen to fail with a reload that ends the pause.
func TestAReloadDuringAPause(t *testing.T) {
	for _, tt := range []struct {
		name     string
		maxPause time.Duration
		want     time.Duration
	}{
		{"the pause goes on", 5 * time.Minute, 60 * time.Second},
		{"a shorter longest pause counts from now", 10 * time.Second, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 5, 0, Options{MaxWait: time.Hour})
				f.script = append(f.script, says(429, 60*time.Second))
				start := time.Now()
				done := make(chan time.Duration)
				go func() { f.post("bot"); done <- time.Since(start) }()
				time.Sleep(20 * time.Second)
				f.queue.Reconfigure(Options{MaxWait: time.Hour, MaxPause: tt.maxPause, DefaultPause: 7 * time.Second})
				if got := <-done; got != tt.want {
					t.Errorf("the refused call went again after %v, want %v", got, tt.want)
				}
				f.script = append(f.script, says(429))
				again := time.Now()
				if f.post("bot"); time.Since(again) != 7*time.Second {
					t.Errorf("a 429 without Retry-After paused for %v, want the new default of 7s", time.Since(again))
				}
			})
		})
	}
}
