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
	paid, now := Limits{Rate: 1, Burst: 10}, time.Now()
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tt := range []struct {
		name       string
		was        Learned
		held, came float64
		full       bool
		want       Learned
	}{
		{"the first one costs little", Learned{}, 9, 0, true, Learned{Rate: 0.95, Burst: 6, Left: 1}},
		{"one a long time later is a first one", Learned{Rate: 0.5, Burst: 3, Left: 0.5, At: before(time.Hour)}, 5, 0.5, false, Learned{Rate: 0.95, Burst: 6, Left: 1}},
		{"so is one after 400 calls' time", Learned{Rate: 1, Burst: 10, Left: 1, At: before(400 * time.Second)}, 0, 0.5, false, Learned{Rate: 0.95, Burst: 6, Left: 1}},
		{"one sooner is not", Learned{Rate: 1, Burst: 10, Left: 1, At: before(399 * time.Second)}, 0, 0.8, false, Learned{Rate: 0.68, Burst: 10, Left: 0.8}},
		{"half of what we believed had come, and the bucket held four calls too many", Learned{Rate: 0.9, Burst: 6, Left: 1, At: before(10 * time.Second)}, 4, 0.6, false, Learned{Rate: 0.51, Burst: 4.575, Left: 0.6}},
		{"it held one too many", Learned{Rate: 0.9, Burst: 6, Left: 1, At: before(10 * time.Second)}, 1, 0.6, false, Learned{Rate: 0.51, Burst: 5.1, Left: 0.6}},
		{"nothing had come", Learned{Rate: 0.8, Burst: 6, Left: 1, At: before(0)}, 0, 0, false, Learned{Rate: 0.4, Burst: 6, Left: 0.4}},
		{"all had come", Learned{Rate: 0.4, Burst: 6, Left: 0.5, At: before(100 * time.Second)}, 0, 0.45, false, Learned{Rate: 0.3825, Burst: 7, Left: 0.45}},
		{"more had come", Learned{Rate: 0.4, Burst: 6, Left: 0.5, At: before(0)}, 0, 0.7, false, Learned{Rate: 0.38, Burst: 6, Left: 0.7}},
		{"the bucket has been full since", Learned{Rate: 0.8, Burst: 6, Left: 1, At: before(0)}, 0, 0.1, true, Learned{Rate: 0.6, Burst: 6, Left: 0.6}},
		{"nothing falls for ever", Learned{Rate: 0.1, Burst: 1, Left: 0.1, At: before(time.Second)}, 0, 0, false, Learned{Rate: 0.1, Burst: 1.01, Left: 0.1}},
	} {
		got := tt.was.refused(now, paid, tt.held, tt.came, tt.full)
		if !near(got.Rate, tt.want.Rate) || !near(got.Burst, tt.want.Burst) || !near(got.Left, tt.want.Left) || !got.At.Equal(now) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
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

func TestTheRateCreepsBack(t *testing.T) {
	paid, now := Limits{Rate: 1, Burst: 10}, time.Now()
	l := Learned{Rate: 0.4, Burst: 4, Left: 0.5, At: now}
	for _, tt := range []struct {
		after time.Duration
		want  Limits
	}{
		{-time.Hour, Limits{0.4, 4}}, // a clock that was put back
		{0, Limits{0.4, 4}},
		{175 * time.Second, Limits{0.5, 5.75}},
		{315 * time.Second, Limits{0.625, 7.15}},                                         // a quarter above what was left
		{355 * time.Second, Limits{1 / (1/0.625 - 4*40.0/350), 7.55}},                    // four times as fast
		{time.Hour, paid}, {1e6 * time.Second, paid}, {100 * 365 * 24 * time.Hour, paid}, // and no further
	} {
		if got := l.limits(now.Add(tt.after), paid); !near(got.Rate, tt.want.Rate) || !near(got.Burst, tt.want.Burst) {
			t.Errorf("after %v: %+v, want %+v", tt.after, got, tt.want)
		}
	}
}

// Whatever refusals come when, the limits stay between the least share and what is paid for, never fall by themselves, and what
// is written down is read again.
func TestLearnedStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paid := Limits{rapid.Float64Range(0.01, 500).Draw(t, "rate"), rapid.Float64Range(1, 100).Draw(t, "burst")}
		now, l := time.Now(), Learned{}
		for range rapid.IntRange(1, 30).Draw(t, "refusals") {
			l = l.refused(now, paid, rapid.Float64Range(0, paid.Burst).Draw(t, "held"), rapid.Float64Range(0, 2*paid.Rate).Draw(t, "came"), rapid.Bool().Draw(t, "full"))
			if !l.Sound(now) {
				t.Fatalf("%+v is not sound", l)
			}
			is := l.limits(now, paid)
			if is.Rate < paid.Rate*leastShare-1e-9 || is.Rate > paid.Rate || is.Burst < 1 || is.Burst > paid.Burst {
				t.Fatalf("%+v is out of bounds for %+v", is, paid)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "until the next")))
			if later := l.limits(now, paid); later.Rate < is.Rate || later.Burst < is.Burst {
				t.Fatalf("it fell from %+v to %+v although all was well", is, later)
			}
		}
	})
}

func TestWhatWasLearnedOutlivesTheProcessAndAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := newFixture(t, 1, 10, 0, Options{Adapt: true, Keeper: openState(t, dir)})
		for range 3 { // somebody else has everything
			f.spendAll()
			f.post("bot")
		}
		f.post("bot")
		learned := f.queue.State()
		if learned.Rate > 0.8 || learned.Paid != (Limits{1, 10}) {
			t.Fatalf("after three refusals the rate is %v of %v, want less than 0.8 of 1", learned.Rate, learned.Paid.Rate)
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
