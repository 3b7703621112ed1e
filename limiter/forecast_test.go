package limiter

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// stands is the state of a queue made by hand: the bucket holds so many tokens, and the calls in flight left so long ago.
func stands(rate, burst, level float64, o Options, held time.Duration, left ...time.Duration) (*state, time.Time) {
	b, _ := NewLocal(rate, burst, 0)
	now := time.Now()
	b.Restore(now, level)
	o.Bucket, o.now = b, func() time.Time { return now }
	s := newState(o.withDefaults())
	s.held, s.wake = mean(held), func() {}
	for _, ago := range left {
		s.inFlight = append(s.inFlight, &Permit{left: s.epoch.Add(-ago)})
	}
	return &s, s.epoch
}

func TestAForecastByHand(t *testing.T) {
	const ms = time.Millisecond
	one, four := Options{MaxInFlight: 1}, Options{MaxInFlight: 4}
	for _, tt := range []struct {
		name  string
		rate  float64
		level float64
		o     Options
		left  []time.Duration
		want  []time.Duration // of the next ones
		rough time.Duration
	}{
		{"only the bucket matters", 10, 2, four, nil, []time.Duration{0, 0, 100 * ms, 200 * ms}, 0},
		{"one at a time, and the first waits for its token", 10, 0, one, nil, []time.Duration{100 * ms, 1100 * ms, 2100 * ms, 3100 * ms}, 0},
		{
			"one at a time, of which one is in flight", 10, 5, one,
			[]time.Duration{300 * ms}, []time.Duration{700 * ms, 1700 * ms, 2700 * ms}, time.Second,
		},
		{
			"a slot of four is free", 100, 10, four,
			[]time.Duration{900 * ms, 300 * ms, 200 * ms}, []time.Duration{0, 100 * ms, 700 * ms, 800 * ms, 1000 * ms, 1100 * ms}, 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			burst := max(tt.level, 1)
			for n, want := range tt.want {
				s, now := stands(tt.rate, burst, tt.level, tt.o, time.Second, tt.left...)
				f := s.forecast(now)
				rough := f.rough
				if got := f.nth(n); (got-want).Abs() > time.Microsecond || rough != moment+tt.rough {
					t.Errorf("the call with %d before it leaves after %v, give or take %v, want %v and %v", n, got, rough, want, moment+tt.rough)
				}
			}
		})
	}
}

// The rate of a hold is in force until its end, and the configured one from there on.
func TestForecastOverTheEndOfAHold(t *testing.T) {
	s, now := stands(2, 10, 0, Options{Adapt: true}, time.Second)
	s.learn(now, AdaptState{Rate: 1, Burst: 10, Hold: 2.5, At: now})
	for n, want := range []time.Duration{time.Second, 2 * time.Second, 2750 * time.Millisecond, 3250 * time.Millisecond} {
		if got := s.forecast(now).nth(n); (got - want).Abs() > time.Microsecond {
			t.Errorf("the call with %d before it leaves after %v, want %v", n, got, want)
		}
	}
}

// The forecast of an empty queue is the one that queues the call first. Seen to fail with a batch tool that leaves no reserve.
func TestAForecastOfAnEmptyQueueIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level, left := rapid.Float64Range(0, 10).Draw(t, "level"), []time.Duration(nil)
		for range rapid.IntRange(0, 3).Draw(t, "in flight") {
			left = append(left, time.Second)
		}
		o := Options{MaxInFlight: 3, Reserve: rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "reserve")}
		tool := Tool{Name: "tool", Batch: rapid.Bool().Draw(t, "batch")}
		shut := rapid.Bool().Draw(t, "shut")
		forecast := func() *forecast {
			s, now := stands(1, 10, level, o, 3*time.Second, left...)
			if shut {
				s.pause.begin(now, 5*time.Second)
			}
			return s.forecast(now)
		}
		f, queued := forecast(), forecast()
		for n := range 15 {
			queued.push(arrival{tool: tool}, nil)
			_, want := queued.next()
			if got := f.arrive(arrival{tool: tool}, 1, nil); got != (placement{leaves: want}) {
				t.Fatalf("call %d: %v, want %v", n, got, want)
			}
		}
	})
}
