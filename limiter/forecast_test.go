package limiter

import (
	"slices"
	"testing"
	"time"
)

// stands is a queue of a moment, made by hand: the bucket holds so many tokens, and the calls under way left so long ago.
func stands(rate, burst, level float64, o Options, mean time.Duration, left ...time.Duration) (*Queue, time.Time) {
	b, _ := NewLocal(rate, burst, 0)
	q := &Queue{bucket: b, epoch: time.Now(), line: newLine(), options: o.withDefaults(), held: held{mean: mean}}
	b.Restore(q.epoch, level)
	for _, ago := range left {
		q.taken = append(q.taken, q.epoch.Add(-ago))
	}
	return q, q.epoch
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
		grows bool
		want  []time.Duration // of the next ones
		rough time.Duration
	}{
		{"only the bucket matters", 10, 2, four, nil, false, []time.Duration{0, 0, 100 * ms, 200 * ms}, 0},
		{"one at a time, and the first waits for its token", 10, 0, one, nil, false, []time.Duration{100 * ms, 1100 * ms, 2100 * ms, 3100 * ms}, 0},
		{"one at a time, of which one is under way", 10, 5, one, []time.Duration{300 * ms}, false, []time.Duration{700 * ms, 1700 * ms, 2700 * ms}, time.Second},
		{"a slot of four is free", 100, 10, four, []time.Duration{900 * ms, 300 * ms, 200 * ms}, false, []time.Duration{0, 100 * ms, 700 * ms, 800 * ms, 1000 * ms, 1100 * ms}, 0},
		{"slots grow from one", 1000, 100, four, []time.Duration{300 * ms}, true, []time.Duration{700 * ms, 700 * ms, 1700 * ms, 1700 * ms, 1700 * ms, 1700 * ms, 2700 * ms, 2700 * ms, 2700 * ms, 2700 * ms, 3700 * ms}, time.Second},
		{"slots grow, and the bucket of one loses what comes meanwhile", 10, 1, four, []time.Duration{300 * ms}, true, []time.Duration{700 * ms, 800 * ms, 1700 * ms, 1800 * ms, 1900 * ms, 2000 * ms, 2700 * ms}, time.Second},
	} {
		burst := max(tt.level, 1)
		for n, want := range tt.want {
			q, now := stands(tt.rate, burst, tt.level, tt.o, time.Second, tt.left...)
			if tt.grows {
				q.careful = 1
			}
			f := q.forecast(now, n)
			if got := f.leaves(n); (got-want).Abs() > time.Microsecond || f.rough != moment+tt.rough {
				t.Errorf("%s: the call with %d before it leaves after %v, give or take %v, want %v and %v", tt.name, n, got, f.rough, want, moment+tt.rough)
			}
			whole := q.forecast(now, len(tt.want))
			if got := whole.leaves(n); (got-want).Abs() > time.Microsecond || !slices.IsSorted(whole.known) {
				t.Errorf("%s: asked for all, the call with %d before it leaves after %v, want %v; known are %v", tt.name, n, got, want, whole.known)
			}
		}
	}
}

// What is learned makes it rougher by a tenth of a turn.
func TestAForecastFromALearnedRateIsRougher(t *testing.T) {
	q, now := stands(2, 10, 10, Options{}, time.Second)
	q.bucket.Learn(Learned{Rate: 1, Burst: 5, Left: 1, At: now})
	if f := q.forecast(now, 0); f.rough != moment+100*time.Millisecond {
		t.Errorf("it is rough by %v, want a tenth of a second and a moment", f.rough)
	}
}
