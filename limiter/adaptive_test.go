package limiter

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// story plays calls and refusals to the state of a queue, at a call a second and a burst of ten. Its time is its own.
type story struct {
	*state
	now time.Time
}

func newStory(t *testing.T) *story {
	t.Helper()
	b, err := NewLocal(1, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s := newState(Options{Bucket: b, Adapt: true, now: func() time.Time { return start }}.withDefaults())
	s.wake = func() {}
	return &story{&s, start}
}

// newReplicaStory is the story of one of several replicas.
func newReplicaStory(t *testing.T) *story {
	h := newStory(t)
	h.sharing, h.bucket.shared = alone{}, true
	return h
}

// alone is a Sharing whose other replicas do nothing.
type alone struct{}

func (alone) Publish(Event)     {}
func (alone) Follow(func(News)) {}
func (alone) Part() Part        { return Part{Rate: 1, Burst: 10, Replicas: 1} }

func (h *story) passes(seconds float64) {
	h.now = h.now.Add(time.Duration(seconds * float64(time.Second)))
}

// take takes a token as the dispatcher does, and returns how long to wait for it.
func (h *story) take() time.Duration {
	if wait := h.bucket.Wait(h.now, Demand{}); wait > 0 {
		return wait
	}
	return h.bucket.bucket.Take(h.now, Demand{})
}

func (h *story) sent() *Permit { return h.permit(h.now, nil, &call{entered: h.now}) }

func (h *story) admits(p *Permit) {
	h.answered(h.now, p)
	h.released(h.now, p, false)
}

func (h *story) refuses(p *Permit) {
	h.throttled(h.now, p, 10*time.Second)
	h.released(h.now, p, false)
}

// calls has Roam admit so many calls, one a second, each with a token.
func (h *story) calls(n int) {
	for range n {
		h.passes(1)
		h.bucket.bucket.Take(h.now, Demand{})
		h.admits(h.sent())
	}
}

// refusal has Roam refuse a call, and admit the probe that follows ten seconds later.
func (h *story) refusal() {
	h.refuses(h.sent())
	h.passes(10)
	h.admits(h.sent())
}

func TestMeasurement(t *testing.T) {
	const nothing = 0
	for _, tt := range []struct {
		name string
		play func(h *story)
		want float64 // calls a second that seem to be left
	}{
		{"nothing at the first refusal", func(h *story) { h.calls(100); h.refusal() }, nothing},
		{"16 calls, the probe among them", func(h *story) { h.refusal(); h.passes(15); h.calls(15); h.refusal() }, 16.0 / 40},
		{"15 calls are too few", func(h *story) { h.refusal(); h.passes(15); h.calls(14); h.refusal() }, nothing},
		{"but not in a minute", func(h *story) { h.refusal(); h.passes(36); h.calls(14); h.refusal() }, 15.0 / 60},
		{"an overload is measured from its first refusal", func(h *story) {
			for range 5 {
				h.refusal()
				h.calls(2)
			}
			h.refusal()
		}, 15.0 / 60},
		{"the next one from the last measurement", func(h *story) {
			h.refusal()
			h.calls(50)
			h.refusal()
			h.passes(20)
			h.calls(20)
			h.refusal()
		}, 21.0 / 50},
		{"a bucket that was full for want of calls", func(h *story) { h.refusal(); h.bucket.meter.void(); h.calls(20); h.refusal() }, nothing},
		{"a call given back is none", func(h *story) {
			h.refusal()
			h.passes(15)
			h.calls(15)
			h.released(h.now, h.sent(), true)
			h.refusal()
		}, 16.0 / 40},
		{"a call without an answer may have reached Roam", func(h *story) {
			h.refusal()
			h.passes(15)
			h.calls(15)
			h.released(h.now, h.sent(), false)
			h.refusal()
		}, 17.0 / 40},
		{"calls refused in the same moment count as none", func(h *story) {
			for _, p := range []*Permit{h.sent(), h.sent(), h.sent()} {
				h.refuses(p)
			}
			h.passes(10)
			h.admits(h.sent())
			h.passes(14)
			h.calls(16)
			h.refusal()
		}, 17.0 / 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newStory(t)
			tt.play(h)
			switch s := h.bucket.learned; {
			case tt.want == nothing && s.Hold > 0:
				t.Errorf("something was measured: %+v", s)
			case tt.want != nothing && !near(s.Rate, tt.want*below):
				t.Errorf("%v of the rate seems to be left (%+v), want %v", s.Rate/below, s, tt.want)
			}
		})
	}
}

// A trial begins when the hold ends, and not when the next token would have come at the rate of the hold.
func TestWaitOverTheEndOfAHold(t *testing.T) {
	h := newStory(t)
	h.learn(h.now, AdaptState{Rate: 0.1, Burst: 5, Hold: 20, At: h.now.Add(-15 * time.Second)})
	h.bucket.Lower(h.now, 0)
	if got, want := h.take().Seconds(), 5+0.5/0.995; !near(got, want) {
		t.Errorf("the next call waits %v s, want %v: five for half a token, and then at the configured rate", got, want)
	}
}

// The configured rate is in force from the end of a hold on, although no call comes then.
func TestTokensAfterAHoldWithoutCalls(t *testing.T) {
	h := newStory(t)
	h.learn(h.now, AdaptState{Rate: 0.1, Burst: 5, Hold: 20, At: h.now.Add(-15 * time.Second)})
	h.bucket.Lower(h.now, 0)
	h.passes(7)
	if got, want := h.bucket.Level(h.now), 0.5+2*0.995; !near(got, want) {
		t.Errorf("after 7 s, of which 5 were a hold, the bucket holds %v tokens, want %v", got, want)
	}
}

// Other limits take what does not fit into the burst, and add nothing. What came in before them came at the rate of before.
func TestOtherLimitsAddNoTokens(t *testing.T) {
	h := newStory(t)
	other := func(l AdaptState) { l.At = h.now; h.learn(h.now, l) }
	level := func(want float64) {
		t.Helper()
		if got := h.bucket.Level(h.now); !near(got, want) {
			t.Errorf("the bucket holds %v tokens, want %v", got, want)
		}
	}
	level(10)
	other(AdaptState{Rate: 0.5, Burst: 2, Hold: 100})
	level(2)
	h.learn(h.now, AdaptState{})
	level(2)
	h.passes(3)
	other(AdaptState{Rate: 0.5, Burst: 8, Hold: 100})
	level(5)
	h.passes(2)
	h.learn(h.now, AdaptState{})
	level(6)
	h.bucket.Lower(h.now, 7)
	level(6)
	h.bucket.Lower(h.now, 1)
	level(1)
}

// What refusals show is never more than the bucket holds: where one process uses the quota, the bucket gives each token that the adaptive
// limit allows. So the forecast, which is made with the limits in force, is true.
//
// Seen to fail with a level above a burst that became smaller, and with two tokens for a call that was not sent.
func TestTheBucketGivesWhatTheAdaptiveLimitAllows(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := newStory(t)
		kinds := rapid.SampledFrom([][]string{{"call"}, {"call", "call", "call", "refusal", "learn", "forget"}}).Draw(r, "kinds")
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			h.passes(rapid.SampledFrom([]float64{0, 0, 0, 0.1, 0.7, 20}).Draw(r, "seconds"))
			d := Demand{Margin: rapid.Float64Range(0, 1).Draw(r, "margin")}
			switch rapid.SampledFrom(kinds).Draw(r, "step") {
			case "refusal":
				h.refusal()
			case "learn":
				rate, burst := rapid.Float64Range(0.1, 2).Draw(r, "rate"), rapid.Float64Range(1, 12).Draw(r, "burst")
				h.learn(h.now, AdaptState{Rate: rate, Burst: burst, Hold: rapid.Float64Range(0, 100).Draw(r, "hold"), At: h.now})
			case "forget":
				h.learn(h.now, AdaptState{})
			case "call":
				if h.bucket.Wait(h.now, d) > 0 {
					continue
				}
				if wait := h.bucket.bucket.Take(h.now, d); wait > 10*time.Microsecond { // it counts in millionths
					r.Fatalf("the bucket has a call wait for %v that may leave", wait)
				} else if wait > 0 {
					continue
				}
				if p := h.sent(); rapid.Bool().Draw(r, "unused") {
					h.released(h.now, p, true)
					h.bucket.bucket.Return(h.now)
				} else {
					h.admits(p)
				}
			}
			if is := h.bucket.Limits(h.now); h.bucket.Level(h.now) > is.Burst {
				r.Fatalf("the level is %v, more than the burst of %v", h.bucket.Level(h.now), is.Burst)
			}
		}
	})
}

// While the burst is not whole, no more calls than the burst leave in the time that the rate needs for as many.
func TestGuard(t *testing.T) {
	h := newStory(t)
	if wait := h.take(); wait != 0 {
		t.Fatalf("a full bucket has the first call wait %v", wait)
	}
	h.refusal()
	var left []time.Time
	for range 2000 { // callers that always wait
		wait := h.take()
		if wait > 0 {
			h.now = h.now.Add(wait)
			continue
		}
		h.admits(h.sent())
		left = append(left, h.now)
		if i := len(left) - 11; i >= 0 && h.bucket.Limits(h.now) != h.bucket.bucket.Limits() {
			if took := left[i+10].Sub(left[i]); took < 10050*time.Millisecond {
				t.Fatalf("calls %d to %d left within %v, want 10.05s", i, i+10, took)
			}
		}
	}
	if is := h.bucket.Limits(h.now); is != h.bucket.bucket.Limits() {
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
	h.learn(h.now, AdaptState{})
	h.passes(60)
	for i := range 10 {
		if wait := h.take(); wait != 0 {
			t.Fatalf("forgotten, call %d of a burst waits %v", i, wait)
		}
		h.admits(h.sent())
	}
}

func TestTokensAfterAPause(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(h *story)
		want float64
	}{
		{"three after a measurement", func(h *story) { h.refusal() }, 3},
		{"none while an overload goes on", func(h *story) { h.refusal(); h.refusal() }, 0},
		{"no more than came in", func(h *story) {
			h.refuses(h.sent())
			h.passes(1)
			h.endPause(h.now)
		}, 0.995},
		{"all, where nothing was refused", func(h *story) { h.bucket.Resumed(h.now) }, 10},
		{"all but the probe's, where nothing is learned", func(h *story) { h.reconfigure(h.now, Options{}.withDefaults()); h.refusal() }, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newStory(t)
			if tt.play(h); !near(h.bucket.Level(h.now), tt.want) {
				t.Errorf("the bucket holds %v tokens, want %v", h.bucket.Level(h.now), tt.want)
			}
		})
	}
}

// burst sends so many calls in the same moment.
func (h *story) burst(n int) (sent []*Permit) {
	for range n {
		sent = append(sent, h.sent())
	}
	return sent
}

// refusedBurst sends ten calls in the same moment, of which Roam admits some.
func (h *story) refusedBurst(admitted int) {
	sent := h.burst(10)
	for _, p := range sent[admitted:] {
		h.refuses(p)
	}
	h.passes(10)
	for _, p := range sent[:admitted] {
		h.admits(p)
	}
	h.endPause(h.now)
}

func TestSlotsThatRefusalsTeach(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(h *story)
		want int // of 10
	}{
		{"no bound", func(h *story) { h.calls(3) }, 10},
		{"seven of ten refused", func(h *story) { h.refusedBurst(3) }, 3},
		{"all but one refused: never less than two", func(h *story) { h.refusedBurst(1) }, 2},
		{"a call that is alone is refused for another reason", func(h *story) { h.refusal() }, 10},
		{"so is one that follows at the rate", func(h *story) {
			h.burst(1)
			h.passes(1)
			h.refuses(h.sent())
		}, 10},
		{"one more after 200 answers", func(h *story) { h.refusedBurst(2); h.calls(198) }, 3},
		{"and not before", func(h *story) { h.refusedBurst(2); h.calls(197) }, 2},
		{"one more when calls wait although there are tokens", func(h *story) { h.refusedBurst(2); h.burst(1); h.passes(20); h.burst(1) }, 3},
		{"not when there are none", func(h *story) { h.refusedBurst(2); h.burst(1); h.bucket.Lower(h.now, 0); h.burst(1) }, 2},
		{"forgotten", func(h *story) { h.refusedBurst(2); h.learn(h.now, AdaptState{}) }, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newStory(t)
			if tt.play(h); h.slots.of(10) != tt.want {
				t.Errorf("%d slots, want %d", h.slots.of(10), tt.want)
			}
			if got := h.slots.of(1); got != 1 {
				t.Errorf("%d slots of 1", got)
			}
		})
	}
}

func TestNewsOfWhatIsLearned(t *testing.T) {
	h := newStory(t)
	h.refusedBurst(2)
	for _, tt := range []struct {
		name  string
		news  AdaptState
		slots int
		want  Limits
	}{
		{"known already", h.bucket.learned, 2, h.bucket.Limits(h.now)},
		{"another replica measured", AdaptState{Rate: 0.5, Burst: 2, Hold: 20, At: h.now}, 2, Limits{0.5, 2}},
		{"another replica was told to forget", AdaptState{}, 10, h.bucket.bucket.Limits()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if h.learn(h.now, tt.news); h.slots.of(10) != tt.slots || h.bucket.Limits(h.now) != tt.want {
				t.Errorf("%+v, %d slots, want %+v and %d", h.bucket.Limits(h.now), h.slots.of(10), tt.want, tt.slots)
			}
		})
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
func TestMeasurementOfAReplica(t *testing.T) {
	h := newReplicaStory(t)
	h.refusal()
	h.passes(50) // in which the others may have sent all that the bucket gave
	h.refusal()
	if got, want := h.bucket.learned.Rate, below*50*slack/60; !near(got, want) {
		t.Errorf("the rate is %v, want %v: 50 of 60 seconds were no pause", got, want)
	}
	h.passes(30) // the hold of 20 s is over for 20 of them
	h.refusal()
	if got, want := h.bucket.learned.Rate, below*(10*below*50*slack/60+20*slack)/40; !near(got, want) {
		t.Errorf("the rate is %v, want %v: a third of the time was a hold", got, want)
	}
	h.burst(10) // in the window of the guard
	h.bucket.level = 1
	if wait := h.take(); wait != 0 {
		t.Errorf("the guard has a replica wait %v", wait)
	}
}

// A measurement of another replica is where the next one of this replica begins, whether it hears of the pause before or after.
func TestMeasurementAfterOneOfAnotherReplica(t *testing.T) {
	for _, pauseFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("of the pause first: %v", pauseFirst), func(t *testing.T) {
			h := newReplicaStory(t)
			h.refusal()
			h.passes(1000)
			learned := AdaptState{Rate: 0.6, Burst: 5, Hold: 40, At: h.now}
			h.passes(0.02)
			if pauseFirst {
				h.bucket.Paused(h.now)
				h.learn(h.now, learned)
			} else {
				h.learn(h.now, learned)
				h.bucket.Paused(h.now)
			}
			h.passes(10)
			h.bucket.Resumed(h.now)
			if got := h.bucket.Level(h.now); got > 3 {
				t.Errorf("after another's pause the bucket holds %v tokens, want 3 at most", got)
			}
			h.passes(70)
			h.refusal()
			if got, want := h.bucket.learned.Rate, below*(30*0.6+40*slack)/80; !near(got, want) {
				t.Errorf("the rate is %v, want %v: of 80 s ten were a pause, and 30 more a hold", got, want)
			}
		})
	}
}

// Where nothing is learned, a pause of before the start leaves all tokens, and the forecast says so.
func TestAPauseOfBeforeTheStartWithoutAdapt(t *testing.T) {
	s, now := stands(1, 10, 10, Options{Paused: 5 * time.Second}, 0)
	end := 5 * time.Second
	if got := s.forecast(now).nth(9); got != end {
		t.Errorf("the last of ten calls is forecast to leave after %v, want %v", got, end)
	}
	s.endPause(now.Add(end))
	if got := s.bucket.Level(now.Add(end)); !near(got, 10) {
		t.Errorf("after the pause the bucket holds %v tokens, want 10", got)
	}
}
