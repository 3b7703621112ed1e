package limiter_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// seeds is how many times chance is tried: more when SOAK is set, which also adds the rows that only inform.
func seeds(usual int) []uint64 {
	if os.Getenv("SOAK") != "" {
		usual *= 10
	}
	all := make([]uint64, usual)
	for i := range all {
		all[i] = uint64(i)
	}
	return all
}

// each runs test on every model with every Retry-After that it may send. Models without a target only inform: -v runs them.
func each(t *testing.T, test func(t *testing.T, m model, header retryAfter)) {
	for _, m := range models() {
		if m.flood == 0 && !m.quick && !testing.Verbose() {
			continue
		}
		headers := []retryAfter{trueWait, tenAlways}
		if m.silent {
			headers = []retryAfter{noHeader}
		}
		for _, header := range headers {
			t.Run(fmt.Sprintf("%s, %s", m.name, header), func(t *testing.T) { test(t, m, header) })
		}
	}
}

// flood sends 200 calls at once, and again so often after an hour in which there are none. It returns what part of 190 s, the least
// that any model allows, the last ones took, and their refusals.
func flood(t *testing.T, c client, m model, header retryAfter, seed uint64, again int) (share float64, refused int) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(m, header, seed)
		call, stop := c.start(t, l)
		defer stop()
		for range again {
			l.flood(t, call)
			time.Sleep(time.Hour)
		}
		start := time.Now()
		refused = -len(l.refused)
		l.flood(t, call)
		share = 190 / l.admitted[len(l.admitted)-1].Sub(start).Seconds()
		refused += len(l.refused)
	})
	return share, refused
}

// flood sends 200 calls at once.
func (l *lab) flood(t *testing.T, call func(context.Context) error) {
	var calls sync.WaitGroup
	for range 200 {
		calls.Go(func() {
			if err := call(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// recovery is what followed some trouble.
type recovery struct {
	minute  float64 // part of the rate that was used from second 30 to 90 after its end
	minutes float64 // from second 30 to 330
	settled float64 // seconds until 95 % of the rate was used, over the next minute and until second 330
	refused int     // until second 330
}

// recovers keeps the queue of a client full, has trouble come after a minute, and looks at what follows.
func recovers(t *testing.T, c client, m model, header retryAfter, seed uint64, trouble func(l *lab)) (r recovery) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(m, header, seed)
		call, stop := c.start(t, l)
		defer stop()
		leave := keepAsking(t, call)
		time.Sleep(time.Minute + l.exponential(3*time.Second))
		trouble(l)
		end := time.Now()
		at := func(second float64) time.Time { return end.Add(inSeconds(second)) }
		time.Sleep(time.Until(at(391)))
		leave()
		r.minute = between(l.admitted, at(30), at(90)) / 60 / l.rate
		r.minutes = between(l.admitted, at(30), at(330)) / 300 / l.rate
		r.refused = int(between(l.refused, end, at(330)))
		for r.settled = 330; r.settled > 0; r.settled-- {
			s := r.settled - 1
			used := func(to float64) float64 { return (between(l.admitted, at(s), at(to)) + 1) / (to - s) / l.rate }
			if used(s+60) < 0.95 || used(max(s+60, 330)) < 0.95 {
				break
			}
		}
	})
	return r
}

// use is how two clients shared an upstream: the part of our calls that was refused, and what part we used of what was left.
type use struct{ refused, used, early float64 }

// beside has a client with a full queue and another one share an upstream, and looks at the hour that follows the first ten minutes.
func beside(t *testing.T, c client, m model, header retryAfter, seed uint64, spend func(ctx context.Context, l *lab)) (u use) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(m, header, seed)
		call, stop := c.start(t, l)
		defer stop()
		leave := keepAsking(t, call)
		ctx, cancel := context.WithCancel(t.Context())
		var other sync.WaitGroup
		other.Go(func() { sleep(ctx, l.exponential(time.Second)); spend(ctx, l) })
		start := time.Now()
		foreign := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.foreign }
		time.Sleep(10 * time.Minute)
		from, before := time.Now(), foreign()
		time.Sleep(time.Hour)
		to, others := time.Now(), foreign()-before
		cancel()
		other.Wait()
		leave()
		ours, refused := between(l.admitted, from, to), between(l.refused, from, to)
		u.refused, u.used = refused/(ours+refused), ours/(l.rate*to.Sub(from).Seconds()-float64(others))
		ours, refused = between(l.admitted, start, from), between(l.refused, start, from)
		u.early = refused / (ours + refused)
	})
	return u
}

func median[T cmp.Ordered](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
