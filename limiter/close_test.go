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
		var told []time.Duration
		var calls sync.WaitGroup
		next := make(chan *Queue)
		for _, tool := range []string{"exporter", "exporter", "exporter", "dashboard"} {
			calls.Go(func() {
				_, err := f.post(tool)
				r := refusalOf(t, err, ErrClosed)
				mu.Lock()
				told = append(told, r.RetryAfter)
				mu.Unlock()
				time.Sleep(r.RetryAfter)
				turn, err := (<-next).Wait(context.Background(), from(tool).Caller)
				if err != nil || turn.Waited != 0 {
					t.Errorf("%s came again after %v and got %+v, %v, want its turn at once", tool, r.RetryAfter, turn, err)
					return
				}
				turn.Release()
			})
		}
		synctest.Wait()
		f.queue.Close()
		f.queue.Close() // once more does no harm
		_, err := f.post("late")
		if r := refusalOf(t, err, ErrClosed); r.RetryAfter != 10*time.Second {
			t.Errorf("who came after the end is to come again in %v, want 10s: after all who waited", r.RetryAfter)
		}
		successor := New(Options{Bucket: f.queue.state.bucket.bucket})
		defer successor.Close()
		for range 4 {
			next <- successor
		}
		calls.Wait()
		slices.Sort(told)
		if want := []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second, 8 * time.Second}; !slices.Equal(told, want) {
			t.Errorf("those who waited are to come again after %v, want %v: one by one", told, want)
		}
	})
}

func TestRetryAfterAtCloseDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{})
		turn, err := f.queue.Wait(context.Background(), from("bot").Caller)
		if err != nil {
			t.Fatal(err)
		}
		turn.Throttled(30 * time.Second)
		turn.Release()
		f.queue.Close()
		_, err = f.post("bot")
		if r := refusalOf(t, err, ErrClosed); r.RetryAfter != 30*time.Second {
			t.Errorf("Roam asked for 30 s of quiet, and the call is to come again in %v", r.RetryAfter)
		}
	})
}
