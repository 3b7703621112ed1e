package limiter

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// leaver is a tool that leaves in the moment in which its call gets its permit.
type leaver struct {
	noObserver
	leave context.CancelFunc
}

func (l *leaver) Waited(_ string, outcome Outcome, _ time.Duration) {
	if outcome == Sent {
		l.leave()
	}
}

// Seen to fail with an abandon that does not return the permit that it finds: slots and tokens are lost then.
func TestACallAbandonedAtItsDispatchSpendsNoToken(t *testing.T) {
	const calls = 64
	synctest.Test(t, func(t *testing.T) {
		bucket, err := NewLocal(0.001, calls, 0)
		if err != nil {
			t.Fatal(err)
		}
		tool := &leaver{}
		q := New(Options{Bucket: bucket, MaxInFlight: calls, Observer: tool})
		defer q.Close()
		used := 0
		for range calls {
			var ctx context.Context
			ctx, tool.leave = context.WithCancel(t.Context())
			if permit, err := q.Wait(ctx, Caller{Tool: Tool{Name: "gone"}, Longest: -1}); err == nil {
				used++
				permit.Release()
			}
			synctest.Wait()
		}
		if s := q.State(); s.InFlight != 0 || int(s.Tokens+0.5) != calls-used {
			t.Errorf("%d calls are in flight and %.2f tokens left after %d calls of %d, want none and %d",
				s.InFlight, s.Tokens, used, calls, calls-used)
		}
	})
}

// The oldest call is the one that came first, whichever is dispatched first.
//
// Seen to fail with arrivals in the opposite order.
func TestTheOldestCallCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0.01, 1, 0, Options{MaxWait: time.Hour})
		f.post("bot")
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for i, urgency := range []int{Usual, Usual - 1, Usual + 1} {
			caller := from("bot").Caller
			caller.Urgency = urgency
			go f.queue.Wait(ctx, caller)
			time.Sleep(2 * time.Second)
			if got, want := f.queue.State().Oldest, 2*time.Duration(i+1)*time.Second; got != want {
				t.Errorf("with %d queued calls the oldest has waited for %v, want %v", i+1, got, want)
			}
		}
	})
}
