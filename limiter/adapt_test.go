package limiter

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func near(got, want float64) bool { return got > want-1e-3 && got < want+1e-3 }

func TestWhatARefusalTeaches(t *testing.T) {
	configured, now := Limits{Rate: 1, Burst: 10}, time.Now()
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	old := Learned{Rate: 0.5, Burst: 4, Left: 0.5, At: before(60 * time.Second)} // a burst of 4.6 is in force
	is := 1 / (1/0.5 - 60.0/220)
	for _, tt := range []struct {
		name string
		was  Learned
		m    measurement
		want Learned
	}{
		{"the first one costs little", Learned{}, measurement{}, Learned{Rate: 0.99, Burst: 5, Left: 1}},
		{"within a minute nothing more", Learned{Rate: 0.8, Burst: 4, Left: 0.8, At: before(59 * time.Second)}, measurement{30, 60}, Learned{Rate: 0.8, Burst: 4, Left: 0.8}},
		{"after it, without a measurement, little", old, measurement{}, Learned{Rate: 0.99 * is, Burst: 2.3, Left: is}},
		{"two fifths were left", old, measurement{24, 60}, Learned{Rate: 0.36, Burst: 2.3, Left: 0.4}},
		{"a sixth was left: the rate falls to a half at most", old, measurement{10, 60}, Learned{Rate: is / 2, Burst: 2.3, Left: is / 2}},
		{"more was left than is used", old, measurement{60, 50}, Learned{Rate: 0.99 * is, Burst: 2.3, Left: 1.2}},
		{"150 calls and seconds: still a measurement", old, measurement{150, 300}, Learned{Rate: 0.45, Burst: 2.3, Left: 0.5}},
		{"more of both: an accident", old, measurement{151, 300}, Learned{Rate: 0.99 * is, Burst: 2.3, Left: is}},
		{"more calls, but in a shorter time: a measurement", old, measurement{1000, 150}, Learned{Rate: 0.99 * is, Burst: 2.3, Left: 1000.0 / 150}},
		{"nothing falls for ever", Learned{Rate: 0.1, Burst: 1, Left: 0.1, At: before(time.Minute)}, measurement{1, 60}, Learned{Rate: 0.1, Burst: 1, Left: 0.1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.was.refused(now, configured, tt.m)
			if !near(got.Rate, tt.want.Rate) || !near(got.Burst, tt.want.Burst) || !near(got.Left, tt.want.Left) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTheRateGrowsBack(t *testing.T) {
	now := time.Now()
	l := Learned{Rate: 0.4, Burst: 4, Left: 0.5, At: now}
	at06 := 220 * (1/0.4 - 1/0.6) // seconds to 1.2 × 0.5
	for _, tt := range []struct {
		name       string
		after      float64 // seconds
		configured Limits
		want       Limits
	}{
		{"a clock that was put back", -3600, Limits{1, 10}, Limits{0.4, 4}},
		{"at first", 0, Limits{1, 10}, Limits{0.4, 4}},
		{"by a 220th of itself with each call", 110, Limits{1, 10}, Limits{0.5, 5.1}},
		{"until more than was left goes well", at06, Limits{1, 10}, Limits{0.6, 4 + at06/100}},
		{"then six times as fast", at06 + 20, Limits{1, 10}, Limits{1 / (1/0.6 - 6*20.0/220), 4 + (at06+20)/100}},
		{"not to the whole rate before the burst is whole", 400, Limits{1, 10}, Limits{0.995, 8}},
		{"in the end to all of it", 3600, Limits{1, 10}, Limits{1, 10}},
		{"and no further", 3e9, Limits{1, 10}, Limits{1, 10}},
		{"the burst grows with what is configured", 100, Limits{0.45, 10}, Limits{0.45 * 0.995, 4.45}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := l.limits(now.Add(time.Duration(tt.after*float64(time.Second))), tt.configured)
			if !near(got.Rate, tt.want.Rate) || !near(got.Burst, tt.want.Burst) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	fast := Learned{Rate: 50, Burst: 100, Left: 50, At: now}
	if got := fast.limits(now.Add(22*time.Second), Limits{100, 100}); !near(got.Rate, 50*math.Exp(22/440.0)) {
		t.Errorf("at 50 calls a second the rate grows to %v in 22 s, want half of a 220th each second", got.Rate)
	}
	slow := Learned{Rate: 0.5, Burst: 1, Left: 4, At: now}
	if got := slow.limits(now.Add(440*time.Second), Limits{100, 100}); !near(got.Rate, math.Exp(0.5)) {
		t.Errorf("from half a call a second the rate grows to %v in 440 s, want 220 s to 1 and then half as fast", got.Rate)
	}
}

// Whatever is measured when, the limits stay between the floor and what is configured, never fall by themselves, and are sound.
func TestLearnedStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		configured := Limits{rapid.Float64Range(0.01, 500).Draw(t, "rate"), rapid.Float64Range(1, 100).Draw(t, "burst")}
		now, l := time.Now(), Learned{}
		for range rapid.IntRange(1, 30).Draw(t, "refusals") {
			m := measurement{rapid.Float64Range(0, 1000).Draw(t, "calls"), rapid.Float64Range(0, 1000).Draw(t, "seconds")}
			l = l.refused(now, configured, m)
			if !l.Sound(now) {
				t.Fatalf("%+v is not sound", l)
			}
			is := l.limits(now, configured)
			if is.Rate < configured.Rate*floor-1e-9 || is.Rate > configured.Rate || is.Burst < 1 || is.Burst > configured.Burst {
				t.Fatalf("%+v is out of bounds for %+v", is, configured)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "until the next")))
			if later := l.limits(now, configured); later.Rate < is.Rate-1e-9 || later.Burst < is.Burst {
				t.Fatalf("it fell from %+v to %+v although nothing was refused", is, later)
			}
		}
	})
}

func TestWhatNoRefusalCouldHaveTaughtIsNotBelieved(t *testing.T) {
	now, well := time.Now(), Learned{Rate: 0.5, Burst: 5, Left: 0.5, At: time.Now()}
	with := func(change func(*Learned)) Learned { l := well; change(&l); return l }
	for _, tt := range []struct {
		name string
		l    Learned
		want bool
	}{
		{"nothing", Learned{}, true},
		{"as it is", well, true},
		{"no moment", with(func(l *Learned) { l.At = time.Time{} }), false},
		{"tomorrow", with(func(l *Learned) { l.At = now.Add(24 * time.Hour) }), false},
		{"no rate", with(func(l *Learned) { l.Rate = 0 }), false},
		{"no burst", with(func(l *Learned) { l.Burst = 0 }), false},
		{"nothing left", with(func(l *Learned) { l.Left = 0 }), false},
		{"a rate below nothing", with(func(l *Learned) { l.Rate = -1 }), false},
		{"no number", with(func(l *Learned) { l.Rate = math.NaN() }), false},
		{"no end", with(func(l *Learned) { l.Burst = math.Inf(1) }), false},
	} {
		if got := tt.l.Sound(now.Add(time.Second)); got != tt.want {
			t.Errorf("%s: sound is %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestWhatWasLearnedOutlivesTheProcessAndAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := newFixture(t, 1, 10, 0, Options{Adapt: true, Keeper: openState(t, dir)})
		refuse := func() { f.script = append(f.script, says(429, "Retry-After", "10")); f.post("bot") }
		refuse()
		for range 60 {
			f.post("bot")
		}
		refuse()
		learned := f.queue.State()
		if learned.Rate > 0.9 || learned.Paid != (Limits{1, 10}) {
			t.Fatalf("after two refusals a minute apart the rate is %v of %v, want less than 0.9 of 1", learned.Rate, learned.Paid.Rate)
		}
		f.queue.state.bucket.bucket.(*Local).Reconfigure(2, 20, 0)
		f.queue.Reconfigure(Options{Adapt: true})
		if s := f.queue.State(); s.Rate != learned.Rate || s.Paid != (Limits{2, 20}) {
			t.Errorf("after a reload the rate is %v of %v, want %v of 2", s.Rate, s.Paid.Rate, learned.Rate)
		}
		// kill -9
		b, _ := NewLocal(1, 10, 0)
		r, err := openState(t, dir).Restore(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Learned.limits(time.Now(), b.Limits()).Rate; !near(got, learned.Rate) {
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

func TestStateOfTheFirstFormatIsRead(t *testing.T) {
	dir := t.TempDir()
	writeState(t, dir, 1, Kept{Level: 4, At: time.Now()})
	b, _ := NewLocal(1, 10, 0)
	if _, err := openState(t, dir).Restore(b); err != nil || b.Level(time.Now()) < 4 {
		t.Errorf("level = %v, %v, want the 4 of the old file", b.Level(time.Now()), err)
	}
}

func TestStateOfALaterVersionIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "quota-roam.state")
	writeState(t, dir, 9, Kept{Level: 4, At: time.Now()})
	later, _ := os.ReadFile(path)
	b, _ := NewLocal(1, 10, 0)
	state := openState(t, dir)
	if _, err := state.Restore(b); err == nil || !strings.Contains(err.Error(), "other-version") || b.Level(time.Now()) > 0.5 {
		t.Errorf("level = %v, %v, want an empty bucket and to be told where the file is", b.Level(time.Now()), err)
	}
	state.Keep(Kept{Level: 1, At: time.Now()})
	if got, _ := os.ReadFile(path + ".other-version"); string(got) != string(later) {
		t.Errorf("set aside: %q, want the file as it was", got)
	}
}
