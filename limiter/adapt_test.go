package limiter

import (
	"encoding/json"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func near(got, want float64) bool { return got > want-1e-3 && got < want+1e-3 }

func TestStateAfterARefusal(t *testing.T) {
	configured, now := Limits{Rate: 1, Burst: 10}, time.Now()
	ago := func(seconds float64) time.Time { return now.Add(-time.Duration(seconds * 1e9)) }
	holding := AdaptState{Rate: 0.4, Burst: 4, Hold: 60, At: ago(50)}   // a burst of 4.5 is in force
	trial := AdaptState{Rate: 0.4, Burst: 4, Hold: 60, At: ago(70)}     // and of 4.7
	long := AdaptState{Rate: 0.4, Burst: 4, Hold: 120, At: ago(130)}    // and of 5.3
	full := AdaptState{Rate: 0.4, Burst: 4, Hold: 60, At: ago(10_000)}  // the configured limits
	floored := AdaptState{Rate: 0.1, Burst: 1, Hold: 210, At: ago(220)} // a burst of 3.2
	alone := AdaptState{Rate: 0.995, Burst: 5, At: ago(50)}             // nothing was measured yet; a burst of 5.5
	for _, tt := range []struct {
		name string
		was  AdaptState
		m    measurement
		want AdaptState
	}{
		{"the first one halves the burst", AdaptState{}, measurement{}, AdaptState{Rate: 1, Burst: 5}},
		{"an overload changes nothing more during the hold", holding, measurement{}, holding},
		{"a trial that fails at once begins the hold anew", trial, measurement{}, AdaptState{Rate: 0.4, Burst: 4.7, Hold: 60}},
		{"there is no hold before a measurement", alone, measurement{}, AdaptState{Rate: 0.995, Burst: 5.5}},
		{"nor later; but it is another one", AdaptState{Rate: 0.995, Burst: 5, At: ago(60)}, measurement{}, AdaptState{Rate: 0.995, Burst: 2.8}},
		{"what was measured is forgotten when a trial is over", full, measurement{}, AdaptState{Rate: 1, Burst: 5}},
		{"the first hold is short", alone, measurement{30, 60}, AdaptState{Rate: 0.475, Burst: 2.75, Hold: 20}},
		{"after a trial it is half as long again", trial, measurement{25, 60}, AdaptState{Rate: 0.95 * 25 / 60, Burst: 2.35, Hold: 90}},
		{"but no longer than for 50 calls", long, measurement{30, 60}, AdaptState{Rate: 0.475, Burst: 2.65, Hold: 50 / 0.475}},
		{"nor than 220 s", floored, measurement{6, 60}, AdaptState{Rate: 0.1, Burst: 1.6, Hold: 220}},
		{"a refusal during the hold makes it shorter", holding, measurement{30, 60}, AdaptState{Rate: 0.475, Burst: 2.25, Hold: 40}},
		{"a twentieth of the rate is left: there is a floor", trial, measurement{3, 60}, AdaptState{Rate: 0.1, Burst: 2.35, Hold: 90}},
		{"more came than is configured", trial, measurement{90, 60}, AdaptState{Rate: 1, Burst: 2.35, Hold: 50}},
		{"150 calls and seconds: still a measurement", full, measurement{150, 300}, AdaptState{Rate: 0.475, Burst: 5, Hold: 90}},
		{"more of both: perhaps an accident", full, measurement{151, 300}, AdaptState{Rate: 1, Burst: 5}},
		{"more calls in a shorter time: a measurement", full, measurement{1000, 150}, AdaptState{Rate: 1, Burst: 5, Hold: 50}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.was.refused(now, configured, tt.m)
			if !near(got.Rate, tt.want.Rate) || !near(got.Burst, tt.want.Burst) || !near(got.Hold, tt.want.Hold) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestLimitsOverTime(t *testing.T) {
	now := time.Now()
	s := AdaptState{Rate: 0.5, Burst: 4, Hold: 60, At: now}
	for _, tt := range []struct {
		name       string
		after      float64 // seconds
		configured Limits
		want       Limits
		believed   float64
	}{
		{"a clock that was put back", -3600, Limits{1, 10}, Limits{0.5, 4}, 0.5},
		{"at first", 0, Limits{1, 10}, Limits{0.5, 4}, 0.5},
		{"until the end of the hold", 59.999, Limits{1, 10}, Limits{0.5, 4.6}, 0.5},
		{"a trial, which shows nothing yet", 60, Limits{1, 10}, Limits{0.995, 4.6}, 0.5},
		{"Roam may have saved some tokens", 119.9, Limits{1, 10}, Limits{0.995, 5.199}, 0.5},
		{"the other client has stopped", 120.1, Limits{1, 10}, Limits{0.995, 5.201}, 0.995},
		{"in the end all is as configured", 3600, Limits{1, 10}, Limits{1, 10}, 1},
		{"and no more", 3e9, Limits{1, 10}, Limits{1, 10}, 1},
		{"less was configured since", 0, Limits{0.45, 10}, Limits{0.45 * 0.995, 4}, 0.45 * 0.995},
		{"much more was configured since", 0, Limits{100, 10}, Limits{10, 4}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := now.Add(time.Duration(tt.after * float64(time.Second)))
			got, believed := s.Limits(at, tt.configured), s.believed(at, tt.configured)
			if !near(got.Rate, tt.want.Rate) || !near(got.Burst, tt.want.Burst) || !near(believed, tt.believed) {
				t.Errorf("got %+v, and %v seems to be left, want %+v and %v", got, believed, tt.want, tt.believed)
			}
		})
	}
}

func TestTokensOverTime(t *testing.T) {
	now := time.Now()
	s := AdaptState{Rate: 0.5, Burst: 10, Hold: 60, At: now}
	for _, tt := range []struct {
		name     string
		from, to float64 // seconds
		want     float64
	}{
		{"during the hold", 10, 30, 10},
		{"over its end", 50, 80, 5 + 20},
		{"after it", 70, 80, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := func(seconds float64) time.Time { return now.Add(time.Duration(seconds * 1e9)) }
			if got := s.tokens(at(tt.from), at(tt.to), Limits{1, 10}); !near(got, tt.want) {
				t.Errorf("%v tokens come in from %v to %v s, want %v", got, tt.from, tt.to, tt.want)
			}
		})
	}
}

// Whatever is measured when, the limits stay between the floor and what is configured, never fall by themselves, and are sound.
func TestAdaptStateStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		configured := Limits{rapid.Float64Range(0.01, 500).Draw(t, "rate"), rapid.Float64Range(1, 100).Draw(t, "burst")}
		now, s := time.Now(), AdaptState{}
		for range rapid.IntRange(1, 30).Draw(t, "refusals") {
			m := measurement{rapid.Float64Range(0, 1000).Draw(t, "calls"), rapid.Float64Range(0, 1000).Draw(t, "seconds")}
			s = s.refused(now, configured, m)
			if !s.Sound(now) {
				t.Fatalf("%+v is not sound", s)
			}
			is := s.Limits(now, configured)
			if is.Rate < configured.Rate*floor-1e-9 || is.Rate > configured.Rate || is.Burst < 1 || is.Burst > configured.Burst {
				t.Fatalf("%+v is out of bounds for %+v", is, configured)
			}
			if s.Hold > mostHold/configured.Rate+1e-9 || s.Hold*s.Rate > mostHeld+1e-9 {
				t.Fatalf("%+v holds for too long", s)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "until the next")))
			if later := s.Limits(now, configured); later.Rate < is.Rate-1e-9 || later.Burst < is.Burst {
				t.Fatalf("it fell from %+v to %+v although nothing was refused", is, later)
			}
			if end := s.At.Add(seconds(s.Hold)); s.Limits(end, configured).Rate < configured.Rate*slack-1e-9 {
				t.Fatalf("at the very end of the hold the rate is %v, want the configured %v", s.Limits(end, configured).Rate, configured.Rate)
			}
		}
	})
}

func TestSoundAdaptState(t *testing.T) {
	now, well := time.Now(), AdaptState{Rate: 0.5, Burst: 5, Hold: 20, At: time.Now()}
	with := func(change func(*AdaptState)) AdaptState { s := well; change(&s); return s }
	for _, tt := range []struct {
		name string
		s    AdaptState
		want bool
	}{
		{"nothing", AdaptState{}, true},
		{"as it is", well, true},
		{"no hold", with(func(s *AdaptState) { s.Hold = 0 }), true},
		{"no moment", with(func(s *AdaptState) { s.At = time.Time{} }), false},
		{"tomorrow", with(func(s *AdaptState) { s.At = now.Add(24 * time.Hour) }), false},
		{"no rate", with(func(s *AdaptState) { s.Rate = 0 }), false},
		{"no burst", with(func(s *AdaptState) { s.Burst = 0 }), false},
		{"a rate below nothing", with(func(s *AdaptState) { s.Rate = -1 }), false},
		{"a hold that ended before it began", with(func(s *AdaptState) { s.Hold = -1 }), false},
		{"no number", with(func(s *AdaptState) { s.Rate = math.NaN() }), false},
		{"no end", with(func(s *AdaptState) { s.Hold = math.Inf(1) }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.s.Sound(now.Add(time.Second)); got != tt.want {
				t.Errorf("%+v: sound is %v, want %v", tt.s, got, tt.want)
			}
		})
	}
}

// An earlier version kept how much was left instead of a hold. Its burst counts, and its rate is tried at once.
func TestAdaptStateOfAnEarlierVersion(t *testing.T) {
	now := time.Now()
	var s AdaptState
	if err := json.Unmarshal([]byte(`{"rate":0.4,"burst":4,"left":0.5,"at":"2026-01-02T03:04:05Z"}`), &s); err != nil || !s.Sound(now) {
		t.Fatalf("%+v, %v: want it to be read", s, err)
	}
	if got, want := s.Limits(s.At, Limits{1, 10}), (Limits{0.995, 4}); got != want {
		t.Errorf("the limits are %+v, want %+v", got, want)
	}
}

func TestWhatWasLearnedOutlivesTheProcessAndAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keeper := &memory{}
		f := newFixture(t, 1, 10, 0, Options{Adapt: true, Keeper: keeper})
		refuse := func() { f.script = append(f.script, says(429, 10*time.Second)); f.post("bot") }
		refuse()
		for range 60 {
			f.post("bot")
		}
		refuse()
		learned := f.queue.State()
		if learned.Rate > 0.9 || learned.Configured != (Limits{1, 10}) {
			t.Fatalf("after two refusals a minute apart the rate is %v of %v, want less than 0.9 of 1", learned.Rate, learned.Configured.Rate)
		}
		f.queue.state.bucket.bucket.(*Local).Reconfigure(2, 20, 0)
		f.queue.Reconfigure(Options{Adapt: true})
		if s := f.queue.State(); s.Rate != learned.Rate || s.Configured != (Limits{2, 20}) {
			t.Errorf("after a reload the rate is %v of %v, want %v of 2", s.Rate, s.Configured.Rate, learned.Rate)
		}
		// kill -9
		b, _ := NewLocal(1, 10, 0)
		r := keeper.restore(b)
		if got := r.Learned.Limits(time.Now(), b.Limits()).Rate; !near(got, learned.Rate) {
			t.Errorf("after a restart the rate is %v, want %v", got, learned.Rate)
		}
		f.queue.Reconfigure(Options{})
		if s := f.queue.State(); s.Rate != 2 {
			t.Errorf("with adapt turned off the rate is %v, want the 2 that are paid for", s.Rate)
		}
	})
}

func TestWithoutAdaptNothingIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{})
		f.spendAll()
		f.post("bot")
		if s := f.queue.State(); s.Rate != 1 || s.Burst != 10 {
			t.Errorf("limits are %v and %v, want 1 and 10", s.Rate, s.Burst)
		}
	})
}
