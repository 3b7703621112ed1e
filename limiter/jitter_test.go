package limiter

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestJitterIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1000, 1000, 0, Options{})
		random := rand.New(rand.NewPCG(1, 2))
		ask := func(takes time.Duration) {
			f.takes = takes
			if err := f.post("bot"); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.queue.State().Jitter; got != 0 {
			t.Errorf("before any call: %v, want 0", got)
		}
		ask(50 * time.Millisecond)
		if got := f.queue.State().Jitter; got != 0 {
			t.Errorf("after one call: %v, want 0", got)
		}
		ask(150 * time.Millisecond)
		if got := f.queue.State().Jitter; got != 100*time.Millisecond {
			t.Errorf("after two calls: %v, want the 100ms between them", got)
		}
		for range 1000 {
			ask(50*time.Millisecond + time.Duration(random.Int64N(int64(200*time.Millisecond))))
		}
		ask(20 * time.Second) // one that Roam thought about for long
		if got := f.queue.State().Jitter; got < 180*time.Millisecond || got > 200*time.Millisecond {
			t.Errorf("%v, want nearly the 200ms by which the network varies", got)
		}
		for range delaysSize {
			ask(50 * time.Millisecond)
		}
		if got := f.queue.State().Jitter; got != 0 {
			t.Errorf("when it has become still: %v, want 0", got)
		}
	})
}
