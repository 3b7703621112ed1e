package limiter

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A pause by hand holds all calls, shows as what it is, and ends by itself at its time, without a probe.
func TestAPauseByHandEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{MaxWait: time.Hour})
		f.queue.Pause(10 * time.Minute)
		start := time.Now()
		left := make(chan time.Duration, 3)
		for range 3 {
			go func() {
				f.post("bot")
				left <- time.Since(start)
			}()
		}
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if s := f.queue.State(); f.calls() != 0 || s.HeldFor != time.Minute || s.Paused || s.PauseTotal != 0 || s.Waiting["bot"] != 3 {
			t.Errorf("after 9 minutes %d calls left and the state is %+v; want none, and a pause by hand for another minute", f.calls(), s)
		}
		for range 3 {
			if at := <-left; at < 10*time.Minute || at > 10*time.Minute+time.Second {
				t.Errorf("a call was answered after %v, want right after 10 minutes", at)
			}
		}
		if s := f.queue.State(); s.HeldFor != 0 {
			t.Errorf("it is still paused: %+v", s)
		}
	})
}

// In a pause by hand a call that would wait too long is refused at once as in any pause, with a Retry-After.
func TestAPauseByHandRefusesWhatWouldWaitTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{MaxWait: time.Minute})
		f.queue.Pause(10 * time.Minute)
		_, err := f.queue.Wait(context.Background(), Caller{Tool: Tool{Name: "bot"}, Longest: -1})
		var refusal *Refusal
		if !errors.As(err, &refusal) || !errors.Is(err, ErrPaused) ||
			refusal.RetryAfter < 9*time.Minute-2*time.Second || refusal.RetryAfter > 10*time.Minute {
			t.Errorf("got %v, want a refusal because of the pause, for some 9 minutes", err)
		}
		if _, err := f.queue.tryWait(context.Background(), Caller{Tool: Tool{Name: "bot"}}); !errors.Is(err, ErrPaused) {
			t.Errorf("a background call: %v, want ErrPaused", err)
		}
		if !f.queue.Resume() || f.queue.Resume() {
			t.Error("Resume does not end the pause by hand, or says so twice")
		}
		if p, err := f.queue.Wait(context.Background(), Caller{Tool: Tool{Name: "bot"}, Longest: -1}); err != nil {
			t.Errorf("after Resume: %v", err)
		} else {
			p.Release()
		}
	})
}
