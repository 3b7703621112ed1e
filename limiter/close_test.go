package limiter

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryAfterAtCloseIsTheForecast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0.5, 1, 0, Options{})
		f.post("bot") // the only token; the next is there in 2 s
		var mu sync.Mutex
		var after []time.Duration
		var calls sync.WaitGroup
		next := make(chan *Queue)
		for _, tool := range []string{"exporter", "exporter", "exporter", "dashboard"} {
			calls.Go(func() {
				err := f.post(tool)
				r := refusalOf(t, err, ErrClosed)
				mu.Lock()
				after = append(after, r.RetryAfter)
				mu.Unlock()
				time.Sleep(r.RetryAfter)
				permit, err := (<-next).Wait(context.Background(), from(tool).Caller)
				if err != nil || permit.Waited != 0 {
					t.Errorf("%s came again after %v and got %+v, %v, want a permit at once", tool, r.RetryAfter, permit, err)
					return
				}
				permit.Release()
			})
		}
		synctest.Wait()
		f.queue.Close()
		f.queue.Close() // a second one has no effect
		err := f.post("late")
		if r := refusalOf(t, err, ErrClosed); r.RetryAfter != 10*time.Second {
			t.Errorf("Retry-After of a call that came after the end is %v, want 10s: after all queued ones", r.RetryAfter)
		}
		successor := New(Options{Bucket: f.queue.state.bucket.bucket})
		defer successor.Close()
		for range 4 {
			next <- successor
		}
		calls.Wait()
		slices.Sort(after)
		if want := []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second, 8 * time.Second}; !slices.Equal(after, want) {
			t.Errorf("Retry-After of the queued calls is %v, want %v: one by one", after, want)
		}
	})
}

func TestRetryAfterAtCloseDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{})
		permit, err := f.queue.Wait(context.Background(), from("bot").Caller)
		if err != nil {
			t.Fatal(err)
		}
		permit.Throttled(30 * time.Second)
		permit.Release()
		f.queue.Close()
		err = f.post("bot")
		if r := refusalOf(t, err, ErrClosed); r.RetryAfter != 30*time.Second {
			t.Errorf("Roam asked for a pause of 30 s, and Retry-After is %v", r.RetryAfter)
		}
	})
}
