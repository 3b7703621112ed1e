package limiter

import (
	"math"
	"time"
)

// guard keeps when the latest calls were sent, for the strictest rule that a limiter with windows may have: no more calls than the
// burst in the time that the rate needs for as many.
type guard struct{ times []time.Time }

// calls returns the burst in whole calls.
func (l Limits) calls() int { return max(int(math.Round(l.Burst)), 1) }

// span returns the time that the rate needs for that many calls. Calls overtake each other on the way, so it is a little longer.
func (l Limits) span() time.Duration { return seconds(float64(l.calls()) / (l.Rate * slack)) }

// sent notes a call at a time, and returns how long after the one before it that is. The guard keeps at least n calls.
func (g *guard) sent(at time.Time, n int) (after time.Duration) {
	after = math.MaxInt64
	if last := len(g.times) - 1; last >= 0 {
		after = at.Sub(g.times[last])
	}
	if len(g.times) >= 2*n {
		g.times = append(g.times[:0], g.times[len(g.times)-n:]...)
	}
	g.times = append(g.times, at)
	return after
}

// unsent takes the latest call back.
func (g *guard) unsent() { g.times = g.times[:max(len(g.times)-1, 0)] }
