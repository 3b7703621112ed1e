package limiter

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBurstThenOnePerSecond(t *testing.T) {
	for _, tt := range []struct {
		name   string
		jitter time.Duration
		atOnce int
		in     time.Duration
	}{
		{"the whole burst when the network is still", 0, 10, 15 * time.Second},
		{"a fifth of a call held back for 200 ms of jitter", 200 * time.Millisecond, 9, 15200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 10, tt.jitter, Options{})
				start := time.Now()
				var calls sync.WaitGroup
				for range 25 {
					calls.Go(func() { f.post("exporter") })
				}
				synctest.Wait()
				if got := f.calls(); got != tt.atOnce {
					t.Errorf("%d calls at once, want %d", got, tt.atOnce)
				}
				calls.Wait()
				if got := time.Since(start); got != tt.in {
					t.Errorf("25 calls took %v, want %v", got, tt.in)
				}
				if f.refused != 0 {
					t.Errorf("Roam refused %d calls, want none", f.refused)
				}
			})
		})
	}
}

// Seen to fail with abandoned calls that stay in the queue.
func TestACallDoesNotWaitForAbandonedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, 0, Options{})
		f.post("first") // the only token
		ctx, leave := context.WithCancel(t.Context())
		for range 29 {
			go f.call(ctx, from("gone"))
		}
		synctest.Wait()
		start, done := time.Now(), make(chan time.Duration)
		go func() { f.post("survivor"); done <- time.Since(start) }()
		synctest.Wait()
		leave()
		if got := <-done; got != time.Second {
			t.Errorf("the survivor waited %v, want 1s", got)
		}
		if got := f.calls(); got != 2 {
			t.Errorf("%d calls sent, want 2: abandoned calls are not sent", got)
		}
	})
}

// Seen to fail with calls that do not move their flow's tag.
func TestFloodDoesNotDelayAnotherToolsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, 0, Options{MaxWait: time.Hour})
		f.post("flood")
		for range 200 {
			go f.post("flood")
		}
		synctest.Wait()
		start := time.Now()
		f.post("calm")
		if got := time.Since(start); got > 2*time.Second {
			t.Errorf("beside a flood of 200 the calm call waited %v, want at most 2 tokens", got)
		}
		f.queue.Close()
		synctest.Wait()
	})
}

// Seen to fail with calls that do not move their flow's tag, and with a weight that is ignored.
func TestWeightsShareTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 10, 1, 0, Options{MaxWait: time.Hour})
		for i := range 400 {
			made := from("light")
			if i%2 == 0 {
				made = from("heavy")
				made.Caller.Tool.Weight = 4
			}
			go f.call(t.Context(), made)
		}
		time.Sleep(20*time.Second - 1)
		synctest.Wait()
		heavy := 0
		for _, s := range f.journal() {
			if s.tool == "heavy" {
				heavy++
			}
		}
		if got, want := float64(heavy)/float64(len(f.journal())), 0.8; got < want-0.02 || got > want+0.02 {
			t.Errorf("weight 4 beside weight 1 got %.3f of %d calls, want %.2f", got, len(f.journal()), want)
		}
		f.queue.Close()
		synctest.Wait()
	})
}

// Seen to fail with urgency that is ignored.
func TestUrgencyIsWorthTenSecondsOfWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, 0, Options{MaxWait: time.Hour})
		f.post("bot")
		order := make(chan string, 3)
		ask := func(name string, urgency int) {
			made := from("bot")
			made.Caller.Urgency = urgency
			f.call(t.Context(), made)
			order <- name
		}
		go ask("usual", Usual)
		time.Sleep(100 * time.Millisecond)
		go ask("mild", Usual+1)
		time.Sleep(100 * time.Millisecond)
		go ask("urgent", Usual-1)
		time.Sleep(5 * time.Second)
		if got := fmt.Sprint(<-order, <-order, <-order); got != fmt.Sprint("urgent", "usual", "mild") {
			t.Errorf("order = %s, want urgent, usual, mild", got)
		}
	})
}

// Seen to fail with every call admitted.
func TestRefusedAtOnceWhenTheWaitIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, 0, Options{MaxWait: time.Hour})
		f.post("bot")
		for range 10 {
			go f.post("bot")
		}
		synctest.Wait()
		start := time.Now()
		err := f.call(t.Context(), within(4*time.Second, "bot"))
		r := refusalOf(t, err, ErrWaitTooLong)
		if time.Since(start) != 0 {
			t.Errorf("refused after %v, want at once", time.Since(start))
		}
		if r.RetryAfter != 7*time.Second+moment {
			t.Errorf("Retry-After = %v, want 7s and a moment: eleventh in the queue, with a longest wait of 4", r.RetryAfter)
		}
		time.Sleep(r.RetryAfter)
		if err := f.call(t.Context(), within(4*time.Second, "bot")); err != nil {
			t.Errorf("back after Retry-After: %v, want a permit", err)
		}
		if got := time.Since(start); got != 11*time.Second {
			t.Errorf("its permit came after %v in all, want 11s", got)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, 0, Options{MaxQueue: 5})
		f.post("bot")
		small := func() *Call { return &Call{Caller: Caller{Tool: Tool{Name: "small", MaxQueue: 2}, Longest: -1}} }
		for range 2 {
			go f.call(t.Context(), small())
		}
		synctest.Wait()
		err := f.call(t.Context(), small())
		if r := refusalOf(t, err, ErrQueueFull); r.RetryAfter != time.Second+moment {
			t.Errorf("the tool's part of the queue is full: Retry-After = %v, want 1s and a moment, when its first call leaves", r.RetryAfter)
		}
		for range 3 {
			go f.post("other")
		}
		synctest.Wait()
		err = f.post("third")
		if r := refusalOf(t, err, ErrQueueFull); r.RetryAfter != 2*time.Second+moment {
			t.Errorf("the queue is full: Retry-After = %v, want 2s and a moment: the first place is promised to the other", r.RetryAfter)
		}
	})
}

// Seen to fail with a deadline that is far too late, and with one that is ignored.
func TestNoCallWaitsBeyondItsDeadline(t *testing.T) {
	// A queue that keeps an expired call would look for it again and again, in no simulated time.
	end := time.AfterFunc(time.Minute, func() { panic("a call has expired, and stays in the queue") })
	defer end.Stop()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2, 0, Options{})
		f.post("bot")
		f.takes = 100 * time.Millisecond
		f.script = append(f.script, says(429, 60*time.Second))
		go f.post("bot") // its 429 begins a pause, when the next call is queued already
		synctest.Wait()
		start := time.Now()
		err := f.call(t.Context(), within(2*time.Second, "bot"))
		refusalOf(t, err, ErrPaused)
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("left after %v, want 2s, its longest wait", got)
		}
		err = f.call(t.Context(), within(2*time.Second, "bot"))
		if r := refusalOf(t, err, ErrPaused); r.RetryAfter < 56*time.Second {
			t.Errorf("Retry-After = %v, want the 58.1s of the pause that are left less the 2s it would wait", r.RetryAfter)
		}
		f.queue.Close()
	})
}

func TestSlotsAreABoundOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100, 100, 0, Options{MaxInFlight: 2})
		f.takes = 1100 * time.Millisecond
		start := time.Now()
		var calls sync.WaitGroup
		for range 6 {
			calls.Go(func() { f.post("bot") })
		}
		calls.Wait()
		if got := time.Since(start); got != 3300*time.Millisecond {
			t.Errorf("6 calls of 1.1s in 2 slots took %v, want 3.3s", got)
		}
		if got := f.queue.State().Tokens; got != 100 {
			t.Errorf("%v tokens left, want 100: none is spent on a call that cannot leave", got)
		}
	})
}

// How long after its token is there a call leaves, with the real clock, while others wait behind it.
func BenchmarkLateness(b *testing.B) {
	const rate = 100
	bucket, err := NewLocal(rate, 1, 0)
	if err != nil {
		b.Fatal(err)
	}
	q := New(Options{Bucket: bucket, MaxInFlight: b.N + 1, MaxQueue: b.N + 1, MaxWait: time.Hour})
	defer q.Close()
	first, err := q.Wait(context.Background(), Caller{Longest: -1})
	if err != nil {
		b.Fatal(err)
	}
	type leaving struct{ given, left time.Time } // the permit by the dispatcher, and the call
	var all sync.WaitGroup
	leavings := make([]leaving, b.N)
	for i := range leavings {
		all.Go(func() {
			if t, err := q.Wait(context.Background(), Caller{Longest: -1}); err == nil {
				leavings[i] = leaving{t.left, time.Now()}
				t.Release()
			}
		})
	}
	all.Wait()
	slices.SortFunc(leavings, func(a, b leaving) int { return a.given.Compare(b.given) })
	late, before := make([]time.Duration, b.N), first.left
	for i, l := range leavings {
		late[i], before = l.left.Sub(before.Add(time.Second/rate)), l.given
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[b.N/2].Microseconds()), "µs-late/median")
	b.ReportMetric(float64(late[b.N*99/100].Microseconds()), "µs-late/p99")
}

func TestBoundsThatAreNotSetHaveDefaults(t *testing.T) {
	got := Options{}.withDefaults()
	got.now = nil
	want := Options{
		MaxInFlight: 10, MaxWait: time.Minute, MaxQueue: 1000, DefaultPause: 10 * time.Second, MaxPause: 5 * time.Minute,
		Observer: noObserver{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	one := Options{MaxInFlight: 1, MaxWait: 1, MaxQueue: 1, DefaultPause: 1, MaxPause: 1, Observer: noObserver{}}
	got = one.withDefaults()
	if got.now = nil; !reflect.DeepEqual(got, one) {
		t.Errorf("%+v, want what was set: %+v", got, one)
	}
}

func TestACallThatMayNotWaitIsSentOrRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, 0, Options{})
		start := time.Now()
		if _, err := f.queue.Wait(t.Context(), Caller{Longest: 0}); err != nil {
			t.Errorf("with a token there: %v", err)
		}
		_, err := f.queue.Wait(t.Context(), Caller{Longest: 0})
		refusalOf(t, err, ErrWaitTooLong)
		if took := time.Since(start); took != 0 {
			t.Errorf("both took %v, want no time", took)
		}
	})
}
