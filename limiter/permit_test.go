package limiter

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What came in is counted from one refusal to the next, over sixteen calls where there are as many, and not over a time in which
// the bucket was full.
func TestWhatCameInIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{Adapt: true, MaxWait: time.Hour})
		f.burst = 1 << 20 // nobody is refused but by the script
		q := f.queue
		refuse := func() { f.script = append(f.script, says(429, "Retry-After", "10")); f.post("bot") }
		came := func() float64 {
			turn, err := q.Wait(t.Context(), Caller{Tool: Tool{Name: "bot"}, Urgency: Usual, Longest: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer turn.Release()
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.came(time.Now(), turn) * turn.left.Sub(q.emptied).Seconds()
		}
		refuse() // sent again after the pause, as the probe
		if q.full {
			t.Error("a bucket that a pause has filled passes for one that nobody had a use for")
		}
		for range 3 {
			f.post("bot")
		}
		if got := came(); !near(got, 4) {
			t.Errorf("the probe and three calls are %v that came in, want 4", got)
		}
		emptied := q.emptied
		refuse()
		f.post("bot")
		if got := came(); !near(got, 7) || !q.emptied.Equal(emptied) {
			t.Errorf("a refusal later %v came in, want 7: too few to begin anew, and the refused one not", got)
		}
		for range 8 {
			f.post("bot")
		}
		refuse() // sixteen others have left
		if got := came(); !near(got, 1) || q.emptied.Equal(emptied) {
			t.Errorf("a refusal after sixteen calls, and %v came in, want the probe alone", got)
		}
		turn, _ := q.Wait(t.Context(), Caller{Longest: -1})
		q.mu.Lock()
		sent := q.sent
		q.mu.Unlock()
		turn.unused()
		if q.sent != sent-1 {
			t.Errorf("with a turn given back %d were sent, want %d", q.sent, sent-1)
		}
		time.Sleep(time.Hour)
		f.post("bot")
		if !q.full {
			t.Error("after an hour the bucket was not full")
		}
	})
}

func TestRefusedInTheSameMomentNothingIsMeasured(t *testing.T) {
	q, now := stands(1, 10, 10, Options{}, 0)
	q.emptied = now
	if got := q.came(now, &Permit{left: now, sent: 3}); got != 0 {
		t.Errorf("%v calls a second came in within no time, want 0", got)
	}
}

// sharing is a bucket that others use too.
type sharing struct{ *Local }

func (sharing) serve(*Queue)  {}
func (sharing) tell(word)     {}
func (sharing) told() bool    { return true }
func (sharing) others() int   { return 0 }
func (sharing) replicas() int { return 2 }

func TestWhoSharesTheQuotaTakesWhatItBelievedToHaveComeIn(t *testing.T) {
	q, now := stands(1, 10, 10, Options{}, 0)
	q.bucket = sharing{q.bucket.(*Local)}
	q.bucket.Learn(Learned{Rate: 0.7, Burst: 5, Left: 0.7, At: now})
	later := now.Add(100 * time.Second) // 0.7 has grown to 0.875
	q.emptied = now
	if got := q.came(later, &Permit{left: later, held: 20, sent: 1000}); !near(got, (0.7+0.875)/2-0.2) {
		t.Errorf("%v calls a second came in, want the mean of the rate less a fifth that the bucket held", got)
	}
	if got := q.came(later, &Permit{left: later, held: 100}); got != 0 {
		t.Errorf("%v calls a second came in, want 0: the bucket held more than that", got)
	}
}

func TestTheReasonOfARefusal(t *testing.T) {
	const longest = 20 * time.Second
	for _, tt := range []struct {
		name          string
		state         pauseState
		lasts, waited time.Duration
		want          error
	}{
		{"nothing but the line", open, 0, 0, ErrWaitTooLong},
		{"expired in the line", open, 0, longest, ErrWaitTooLong},
		{"a pause that is over before its longest wait", shut, longest, 0, ErrWaitTooLong},
		{"a pause that is not", shut, longest + 1, 0, ErrPaused},
		{"expired in a pause", shut, time.Second, longest, ErrPaused},
		{"expired while one probes", probing, 0, longest, ErrPaused},
		{"came while one probes", probing, 0, 0, ErrWaitTooLong},
	} {
		q, now := stands(1, 10, 0, Options{}, 0)
		q.pause.state, q.pause.until = tt.state, now.Add(tt.lasts)
		if r := q.refusal(now, &Tool{Name: "bot"}, &call{urgency: Usual}, longest, tt.waited); !errors.Is(r, tt.want) {
			t.Errorf("%s: refused because %v, want %v", tt.name, r.Reason, tt.want)
		}
	}
}

func TestHowLongSlotsAreHeldIsSmoothed(t *testing.T) {
	var h held
	h.add(time.Second)
	if h.add(2 * time.Second); h.mean != 1125*time.Millisecond {
		t.Errorf("after 1 s and 2 s the mean is %v, want an eighth on the way", h.mean)
	}
}
