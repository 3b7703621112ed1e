package limiter

import (
	"testing"
	"time"
)

// story plays calls and refusals to an Adaptive at a call a second, and a burst of ten. Its time is its own.
type story struct {
	*Adaptive
	now time.Time
}

func newStory(t *testing.T) *story {
	t.Helper()
	b, err := NewLocal(1, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &story{NewAdaptive(b, false), time.Now()}
}

func (h *story) passes(seconds float64) {
	h.now = h.now.Add(time.Duration(seconds * float64(time.Second)))
}

// calls has Roam let so many calls through, one a second, each with a token.
func (h *story) calls(n int) {
	for range n {
		h.passes(1)
		h.Adaptive.bucket.Take(h.now, Demand{})
		h.Answered(h.Sent(h.now))
	}
}

// refusal has Roam refuse a call, and let the probe through that follows ten seconds later.
func (h *story) refusal() {
	h.Refused(h.now, h.Sent(h.now), true, false)
	h.passes(10)
	probe := h.Sent(h.now)
	h.Answered(probe)
	h.Resumed(h.now)
}

func TestWhatIsMeasured(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(h *story)
		want float64 // what is left; 1, or 0.995: nothing was measured
	}{
		{"nothing at the first refusal", func(h *story) { h.calls(100); h.refusal() }, 1},
		{"16 calls since the last, the probe among them", func(h *story) { h.calls(9); h.refusal(); h.passes(35); h.calls(15); h.refusal() }, 16.0 / 60},
		{"15 calls in a minute are measured as an overload", func(h *story) { h.refusal(); h.passes(36); h.calls(14); h.refusal() }, 15.0 / 60},
		{"an overload of less than a minute is not", func(h *story) {
			h.refusal()
			h.passes(600)
			h.calls(32)
			h.refusal()
			h.calls(2)
			h.refusal()
			h.passes(20)
			h.refusal()
		}, 33.0 / 642},
		{"refusals within a minute count once", func(h *story) { h.refusal(); h.calls(20); h.refusal() }, 1},
		{"an overload is measured from its first refusal", func(h *story) {
			for range 6 {
				h.refusal()
				h.calls(2)
			}
			h.refusal()
		}, 15.0 / 60},
		{"the time before an overload is not part of it", func(h *story) {
			h.refusal()
			h.passes(100)
			h.calls(40) // apart
			for range 5 {
				h.refusal()
				h.calls(2)
			}
			h.refusal()
		}, 15.0 / 60},
		{"a bucket that was full for want of calls", func(h *story) { h.refusal(); h.passes(100); h.Idle(h.now); h.calls(20); h.refusal() }, 0.995},
		{"calls that were held by hand", func(h *story) { h.refusal(); h.calls(20); h.Interrupted(); h.passes(60); h.refusal() }, 0.995},
		{"one that was not full", func(h *story) { h.refusal(); h.calls(50); h.Idle(h.now); h.refusal() }, 51.0 / 60},
		{"a call given back is none", func(h *story) {
			h.refusal()
			h.passes(34)
			h.calls(16)
			h.Ended(h.Sent(h.now), true)
			h.refusal()
		}, 17.0 / 60},
		{"a call without an answer may have reached Roam", func(h *story) {
			h.refusal()
			h.passes(34)
			h.calls(16)
			h.Ended(h.Sent(h.now), false)
			h.refusal()
		}, 18.0 / 60},
		{"a refused probe begins the count anew", func(h *story) {
			h.refusal()
			h.calls(20)
			h.Refused(h.now, h.Sent(h.now), true, true)
			h.passes(14)
			h.calls(16)
			h.refusal()
		}, 16.0 / 30},
		{"those refused in the same moment count as none", func(h *story) {
			first, second, third := h.Sent(h.now), h.Sent(h.now), h.Sent(h.now)
			h.Refused(h.now, first, true, false)
			h.Refused(h.now, second, false, false)
			h.Refused(h.now, third, false, false)
			h.passes(43)
			h.calls(17)
			h.refusal()
		}, 17.0 / 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newStory(t)
			if tt.play(h); !near(h.Learned().Left, max(tt.want, h.Learned().Rate)) {
				t.Errorf("%v of the rate seems to be left (%+v), want %v", h.Learned().Left, h.Learned(), tt.want)
			}
		})
	}
}

// While the burst is not whole, no more calls than the burst leave in the time that the rate needs for as many.
func TestGuard(t *testing.T) {
	h := newStory(t)
	if wait := h.Take(h.now, Demand{}); wait != 0 {
		t.Fatalf("a full bucket has the first call wait %v", wait)
	}
	h.refusal()
	var left []time.Time
	for range 2000 { // callers that always wait
		wait := h.Take(h.now, Demand{})
		if wait > 0 {
			h.now = h.now.Add(wait)
			continue
		}
		h.Answered(h.Sent(h.now))
		left = append(left, h.now)
		if i := len(left) - 11; i >= 0 && h.Limits(h.now) != h.Configured() {
			if took := left[i+10].Sub(left[i]); took < 10050*time.Millisecond {
				t.Fatalf("calls %d to %d left within %v, want 10.05s", i, i+10, took)
			}
		}
	}
	if is := h.Limits(h.now); is != h.Configured() {
		t.Errorf("after %d calls the limits are %+v, want what is configured", len(left), is)
	}
	if at := left[2].Sub(left[0]); at != 0 {
		t.Errorf("the third call after the pause leaves %v after the first, want three at once", at)
	}
	took := left[len(left)-1].Sub(left[0]).Seconds()
	if rate := float64(len(left)) / took; rate < 0.99 {
		t.Errorf("%v calls a second left, want 0.99", rate)
	}
	h.refusal()
	h.Reset()
	h.passes(60)
	for i := range 10 {
		if wait := h.Take(h.now, Demand{}); wait != 0 {
			t.Fatalf("forgotten, call %d of a burst waits %v", i, wait)
		}
		h.Answered(h.Sent(h.now))
	}
}

func TestTokensAfterAPause(t *testing.T) {
	level := func(play func(h *story)) float64 {
		h := newStory(t)
		play(h)
		return h.Level(h.now)
	}
	for _, tt := range []struct {
		name string
		play func(h *story)
		want float64
	}{
		{"three after the first of an episode", func(h *story) { h.refusal() }, 3},
		{"none while the episode goes on", func(h *story) { h.refusal(); h.refusal() }, 0},
		{"no more than came in", func(h *story) {
			h.Refused(h.now, h.Sent(h.now), true, false)
			h.passes(1)
			h.Resumed(h.now)
		}, 0.99},
		{"less than the burst", func(h *story) {
			h.SetLearned(Learned{Rate: 0.5, Burst: 1, Left: 0.5, At: h.now.Add(-2 * time.Minute)})
			h.refusal()
		}, 0.2},
		{"all, where nothing was refused", func(h *story) { h.Resumed(h.now) }, 10},
		{"all, where nothing is learned", func(h *story) { h.Switch(false); h.refusal() }, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := level(tt.play); !near(got, tt.want) {
				t.Errorf("the bucket holds %v tokens, want %v", got, tt.want)
			}
		})
	}
}

// leaves has so many calls leave in the same moment.
func (h *story) leaves(n int) (calls []Sample) {
	for range n {
		calls = append(calls, h.Sent(h.now))
	}
	return calls
}

func TestSlotsThatRefusalsTeach(t *testing.T) {
	refused := func(h *story, calls []Sample) { // all but the first two
		for i, c := range calls[2:] {
			h.Refused(h.now, c, i == 0, false)
		}
		h.passes(10)
		for _, c := range calls[:2] {
			h.Answered(c)
		}
		h.Resumed(h.now)
	}
	for _, tt := range []struct {
		name string
		play func(h *story)
		want int // of 10
	}{
		{"no bound", func(h *story) { h.calls(3) }, 10},
		{"eight of ten refused", func(h *story) { refused(h, h.leaves(10)) }, 2},
		{"all but one refused: never less than two", func(h *story) {
			calls := h.leaves(10)
			for i, c := range calls[1:] {
				h.Refused(h.now, c, i == 0, false)
			}
			h.Answered(calls[0])
		}, 2},
		{"a call that is alone is refused for another reason", func(h *story) { h.Refused(h.now, h.Sent(h.now), true, false) }, 10},
		{"so is one that follows at the rate", func(h *story) {
			h.leaves(1)
			h.passes(1)
			h.Refused(h.now, h.Sent(h.now), true, false)
		}, 10},
		{"and a probe", func(h *story) { h.leaves(2); h.Refused(h.now, h.Sent(h.now), true, true) }, 10},
		{"one more after 200 answers", func(h *story) { refused(h, h.leaves(10)); h.calls(198) }, 3},
		{"and not before", func(h *story) { refused(h, h.leaves(10)); h.calls(197) }, 2},
		{"one more when calls wait although there are tokens", func(h *story) {
			refused(h, h.leaves(10))
			h.passes(20)
			h.leaves(2)
		}, 3},
		{"not when there are none", func(h *story) {
			refused(h, h.leaves(10))
			h.Lower(h.now, 0)
			h.leaves(2)
		}, 2},
		{"forgotten", func(h *story) { refused(h, h.leaves(10)); h.Reset() }, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newStory(t)
			if tt.play(h); h.Slots(10) != tt.want {
				t.Errorf("%d slots, want %d", h.Slots(10), tt.want)
			}
		})
	}
	h := newStory(t)
	refused(h, h.leaves(10))
	if got := h.Slots(1); got != 1 {
		t.Errorf("%d slots of 1", got)
	}
}

func TestNewsOfWhatIsLearned(t *testing.T) {
	h := newStory(t)
	for i, c := range h.leaves(4)[1:] {
		h.Refused(h.now, c, i == 0, false)
	}
	was := h.Learned()
	h.SetLearned(was)
	if h.Slots(10) != 2 {
		t.Errorf("with news of what is known already there are %d slots, want 2", h.Slots(10))
	}
	h.SetLearned(Learned{Rate: 0.5, Burst: 2, Left: 0.5, At: h.now})
	if h.Slots(10) != 2 || h.Limits(h.now) != (Limits{0.5, 2}) {
		t.Errorf("another replica learned more: %+v, %d slots", h.Limits(h.now), h.Slots(10))
	}
	h.SetLearned(Learned{})
	if h.Slots(10) != 10 || h.Limits(h.now) != h.Configured() {
		t.Errorf("another replica was told to forget: %+v, %d slots, want what is configured", h.Limits(h.now), h.Slots(10))
	}
}

// An earlier process saw the pause begin; how many tokens came in during it is as unsure as ever.
func TestAPauseOfBeforeTheStart(t *testing.T) {
	b, _ := NewLocal(1, 10, 0)
	s := newState(Options{Bucket: b, Adapt: true, Paused: 5 * time.Second}.withDefaults())
	s.wake = func() {}
	now := s.epoch.Add(5 * time.Second)
	s.endPause(now)
	if got := s.bucket.Level(now); !near(got, 3) {
		t.Errorf("after it the bucket holds %v tokens, want 3", got)
	}
}

// What replicas learn is estimated from the bucket that they share: none sees the calls of the others.
func TestWhatAReplicaMeasures(t *testing.T) {
	h := newStory(t)
	h.shared = true
	h.refusal()
	h.passes(50) // in which the others may have sent all that the bucket gave
	h.refusal()
	was := Learned{Rate: 0.99, Burst: 5, Left: 1, At: h.now.Add(-70 * time.Second)}
	at := func(seconds float64) float64 {
		return was.limits(was.At.Add(time.Duration(seconds*1e9)), Limits{1, 10}).Rate
	}
	if want := (at(0) + at(60)) / 2 * 50 / 60; !near(h.Learned().Left, want) {
		t.Errorf("%v of the rate seems to be left, want %v: 50 of 60 seconds were no pause", h.Learned().Left, want)
	}
	if wait := h.guard(h.now, h.Limits(h.now)); wait != 0 {
		t.Errorf("the guard has a replica wait %v", wait)
	}
}

// A refusal that another replica learned from is where the next measurement of this one begins.
func TestARefusalOfAnotherReplica(t *testing.T) {
	h := newStory(t)
	h.shared = true
	h.refusal()
	h.passes(1000)
	h.Paused(h.now)
	h.SetLearned(Learned{Rate: 0.6, Burst: 5, Left: 0.6, At: h.now})
	h.passes(10)
	h.Resumed(h.now)
	if got := h.Level(h.now); got > 3 {
		t.Errorf("after another's pause the bucket holds %v tokens, want 3 at most", got)
	}
	h.passes(70)
	h.refusal()
	if got, want := h.Learned().Left, (0.6+0.995)/2*70/80; !near(got, want) {
		t.Errorf("%v of the rate seems to be left, want %v: 70 of 80 seconds at a rate that grew from 0.6 to 0.995", got, want)
	}
}
