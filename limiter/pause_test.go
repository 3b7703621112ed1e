package limiter

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// With adapt the bucket begins with three tokens after the first pause, and empty after the next one.
func TestAfterAPauseTheBucketBeginsNearlyEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{MaxWait: time.Hour, Adapt: true})
		f.burst = 1 << 20
		f.script = append(f.script, says(429, 10*time.Second), says(200), says(200), says(200), says(200), says(429, 10*time.Second))
		var calls sync.WaitGroup
		calls.Go(func() { f.post("bot") })
		time.Sleep(500 * time.Millisecond)
		for range 10 {
			calls.Go(func() { f.post("bot") })
		}
		var went []int
		for before := f.calls(); len(went) < 25; before = f.calls() {
			time.Sleep(time.Second)
			went = append(went, f.calls()-before)
		}
		if got, want := went[9:12], []int{4, 1, 0}; !slices.Equal(got, want) {
			t.Errorf("second by second %v calls left, want the probe and three, and then one a second, which is refused: %v", got, want)
		}
		if got, want := went[20:24], []int{1, 1, 1, 1}; !slices.Equal(got, want) {
			t.Errorf("after the second pause %v calls left, want %v", got, want)
		}
		calls.Wait()
	})
}

// Seen to fail with a pause that ends without a probe.
func TestAfterAPauseOneProbeThenWhatAccrued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 10, 0, Options{MaxWait: time.Hour})
		f.spendAll() // another client has used the quota up
		f.takes = 100 * time.Millisecond
		f.script = append(f.script, says(429, 5*time.Second))
		start := time.Now()
		go f.post("bot")
		time.Sleep(time.Millisecond)
		for range 199 {
			go f.post("bot")
		}
		time.Sleep(5100*time.Millisecond - 2*time.Millisecond) // the refusal took 100 ms to come
		synctest.Wait()
		before := f.calls() // ten of them were under way when the refusal came; the bucket knew no better
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := f.calls() - before; got != 1 {
			t.Errorf("when the pause is over %d calls go, want 1: the probe", got)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := f.calls() - before; got > 5 {
			t.Errorf("after the probe's success %d calls have gone (%s), want at most the 5 that accrued", got, since(start, f.journal()))
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := f.calls() - before; got < 34 || got > 36 {
			t.Errorf("30 s later %d calls have gone, want one a second again", got)
		}
		f.queue.Close()
		time.Sleep(time.Second)
	})
}

// Seen to fail with a pause for each refusal.
func TestRefusalsOfOneMomentArePaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, 0, Options{})
		f.takes = time.Second
		for range 5 {
			f.script = append(f.script, says(429, 5*time.Second))
		}
		var calls sync.WaitGroup
		start := time.Now()
		for i := range 5 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Millisecond) // the last refusal comes 0.8 s after the first
				f.post("bot")
			})
		}
		time.Sleep(2 * time.Second)
		if s := f.queue.State(); s.PausedFor != 4*time.Second {
			t.Errorf("paused for another %v, want 4s: refusals of the same generation do not extend it", s.PausedFor)
		}
		calls.Wait()
		if got := f.queue.state.pause.generation; got != 1 {
			t.Errorf("%d pauses, want 1", got)
		}
		if got := time.Since(start); got > 12*time.Second {
			t.Errorf("all answered after %v, want within 12s", got)
		}
	})
}

// Seen to fail with a success that ends any pause.
func TestLateSuccessDoesNotEndANewerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, 0, Options{})
		early, _ := f.queue.Wait(t.Context(), from("slow").Caller)
		refused, _ := f.queue.Wait(t.Context(), from("bot").Caller)
		refused.Throttled(5 * time.Second)
		refused.Release()
		early.Answered()
		early.Release()
		if s := f.queue.State(); !s.Paused {
			t.Error("a success from before the pause ended it")
		}
	})
}

func TestAfterAProbeWithoutAnAnswerTheNextCallProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, 0, Options{})
		refused, _ := f.queue.Wait(t.Context(), from("bot").Caller)
		refused.Throttled(2 * time.Second)
		refused.Release()
		probe, _ := f.queue.Wait(t.Context(), from("bot").Caller)
		next := make(chan *Permit)
		go func() { permit, _ := f.queue.Wait(t.Context(), from("bot").Caller); next <- permit }()
		time.Sleep(10 * time.Second)
		select {
		case <-next:
			t.Fatal("a second call left while the probe was under way")
		default:
		}
		probe.Release() // its connection died
		permit := <-next
		if !permit.probe {
			t.Error("the next call is no probe")
		}
		permit.Answered()
		permit.Release()
		if s := f.queue.State(); s.Paused || s.PauseTotal != 12*time.Second {
			t.Errorf("paused = %v, %v in all, want open after 12s", s.Paused, s.PauseTotal)
		}
	})
}

// Seen to fail with a pause of zero.
func TestHowLongAPauseLasts(t *testing.T) {
	for _, tt := range []struct {
		name           string
		asks, defaults time.Duration
		want           time.Duration
	}{
		{"as long as Roam asks for", 5 * time.Second, 0, 5 * time.Second},
		{"no time is the shortest pause", 0, 0, time.Second},
		{"less than a second is the shortest pause", 300 * time.Millisecond, 0, time.Second},
		{"Roam does not say for how long", -1, 0, 10 * time.Second},
		{"nor then, and the setting is less than a second", -1, 300 * time.Millisecond, time.Second},
		{"longer than the longest without a probe", time.Hour, 0, 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 5, 0, Options{DefaultPause: tt.defaults})
				permit, err := f.queue.Wait(t.Context(), from("bot").Caller)
				if err != nil {
					t.Fatal(err)
				}
				permit.Throttled(tt.asks)
				permit.Release()
				if got := f.queue.State().PausedFor; got != tt.want {
					t.Errorf("asked for %v the queue pauses for %v, want %v", tt.asks, got, tt.want)
				}
			})
		})
	}
}

func TestLongPauseIsProbedAfterMaxPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, 0, Options{MaxPause: time.Minute, MaxWait: time.Hour})
		f.script = append(f.script, says(429, 86400*time.Second))
		start := time.Now()
		f.post("bot")
		if got := time.Since(start); got != time.Minute {
			t.Errorf("probed after %v, want 1m0s", got)
		}
	})
}

func TestResumeEndsAPauseByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, 0, Options{})
		if f.queue.Resume() {
			t.Error("Resume found a pause where there was none")
		}
		f.script = append(f.script, says(429, 50*time.Second))
		start := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			if !f.queue.Resume() {
				t.Error("Resume found no pause")
			}
		}()
		f.post("bot")
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("the refused call went again after %v, want 3s", got)
		}
	})
}

func TestAPauseIsMeasuredFromItsFirstRefusal(t *testing.T) {
	p := pause{state: PauseOpen}
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	for _, step := range []struct {
		name             string
		happens          func()
		now              int
		remaining, total int
	}{
		{"before any", func() {}, 0, 0, 0},
		{"it begins, for 10 s", func() { p.begin(at(1), 10*time.Second) }, 4, 7, 3},
		{"another refusal makes it longer", func() { p.begin(at(5), 10*time.Second) }, 6, 9, 5},
		{"it is over, and no call was the probe", func() {}, 20, 0, 19},
		{"a probe is under way", func() { p.state = PauseProbing }, 21, 0, 20},
		{"it ends", func() { p.end(at(22)) }, 30, 0, 21},
		{"the next one is added", func() { p.begin(at(40), 5*time.Second) }, 42, 3, 23},
	} {
		step.happens()
		remaining, total := p.remaining(at(step.now)), p.total(at(step.now))
		if remaining != time.Duration(step.remaining)*time.Second || total != time.Duration(step.total)*time.Second {
			t.Errorf("%s: %v remain of %v, want %d s of %d s", step.name, remaining, total, step.remaining, step.total)
		}
	}
}

// pauses is an Observer that records how long each pause was to be.
type pauses struct {
	noObserver
	began *[]time.Duration
}

func (h pauses) PauseBegan(d time.Duration) { *h.began = append(*h.began, d) }

func TestAPauseOfBeforeTheStartIsReported(t *testing.T) {
	for _, tt := range []struct {
		paused time.Duration
		want   []time.Duration
	}{
		{0, nil},
		{-1, []time.Duration{0}}, // over, but what Roam says now is unknown
		{30 * time.Second, []time.Duration{30 * time.Second}},
		{time.Hour, []time.Duration{5 * time.Minute}}, // the longest without a probe
	} {
		t.Run(tt.paused.String(), func(t *testing.T) {
			var began []time.Duration
			b, _ := NewLocal(1, 10, 0)
			New(Options{Bucket: b, Paused: tt.paused, Observer: pauses{began: &began}}).Close()
			if !slices.Equal(began, tt.want) {
				t.Errorf("paused for %v before the start: reported are %v, want %v", tt.paused, began, tt.want)
			}
		})
	}
}
