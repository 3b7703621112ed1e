package limiter

import (
	"math"
	"time"
)

// A 429 although the bucket held a token means that somebody else spends the quota, or that it is smaller than configured. What
// is left is learned from the refusals alone, because Roam tells nothing else:
//
//   - The first refusal in a while may be an accident. It costs a twentieth of the rate, which is back after 15 calls, and two
//     fifths of the burst, so that what accrues in the pause is not all spent at once on a quota that may not have it.
//   - Another one soon after is no accident. Between two moments at which the bucket was empty, what we believed to have come
//     in and what did differ by what the bucket still held when Roam said no. The rate falls to a fifth below what really
//     came: at least by a twentieth, at most by half. Where the bucket has been full in between, and so no longer counted,
//     it falls by a quarter. The burst loses what the bucket held too much, a quarter at most.
//   - While all is well the rate grows by a 280th of itself with each call that it allows. From a fifth below what is left it
//     takes some 120 calls to a quarter above, and over that time the excess only uses up what was saved before: about one
//     call in a hundred is refused, whatever the rate. Once a quarter above what was found left, somebody must have stopped,
//     and it grows four times as fast. The burst grows by a call with every hundred.
//
// The weak spot is somebody who spends three quarters in bursts as large as the whole quota's. What is measured soon after a burst
// says less than what is left in the long run, so the rate sinks to its floor, a tenth, and is slow to come back: in an hour
// half of what is left is used. A floor of a fifth would use three quarters of it, but has a third of all calls refused where
// somebody spends nine tenths steadily, of which a tenth refuses 3 %.
//
// After a pause the calls that may be under way at once grow from one, so that few are refused together: Queue.trust.
//
// All of it is arithmetic on a Learned, which says how it was at one moment: limits tells from it how it is at any later one.
// So the same value can be written to a file or shared by several processes, and nobody has to count.
type Learned struct {
	Rate  float64   `json:"rate"`  // calls a second, at At
	Burst float64   `json:"burst"` // calls at once, at At
	Left  float64   `json:"left"`  // calls a second that seemed to be left for us
	At    time.Time `json:"at"`    // the last refusal that taught something; zero: nothing was learned
}

// Limits are how many calls may go in a second, and how many at once.
type Limits struct{ Rate, Burst float64 }

const (
	accident      = 0.95      // of the rate, after the first refusal
	accidentBurst = 0.6       // of the burst, after the first refusal
	below         = 0.8       // of what is left, after another
	blind         = 0.75      // of the rate, after another that nothing was measured by
	soon          = 200       // calls' time within which a refusal is another one
	growth        = 1.0 / 280 // of the rate, with each call
	gone          = 1.25      // of what was left: whoever spent it has stopped
	goneGrowth    = 4         // times the growth then
	burstGrowth   = 1.0 / 100 // calls at once, with each call that is paid for
	leastShare    = 0.1       // of the rate; where less is left, the pauses do the rest
)

// limits are in force at now.
func (l Learned) limits(now time.Time, paid Limits) Limits {
	if l.At.IsZero() {
		return paid
	}
	passed := max(now.Sub(l.At).Seconds(), 0)
	rate := grown(l.Rate, passed, growth)
	if mark := max(l.Left*gone, l.Rate); rate > mark {
		until := (1/l.Rate - 1/mark) / growth
		rate = grown(mark, passed-until, growth*goneGrowth)
	}
	return Limits{Rate: min(rate, paid.Rate), Burst: max(min(l.Burst+burstGrowth*paid.Rate*passed, paid.Burst), 1)}
}

// grown is a rate after seconds in which each call that it allowed has added a part of it: dr/dt = part × r².
func grown(rate, seconds, part float64) float64 {
	if left := 1/rate - part*seconds; left > 0 {
		return 1 / left
	}
	return math.Inf(1)
}

// takes is how long so many calls' tokens need to accrue from now on. The rate grows with what leaves.
func (l Learned) takes(now time.Time, paid Limits, tokens float64) time.Duration {
	rate, total := l.limits(now, paid).Rate, 0.0
	if l.At.IsZero() {
		return seconds(tokens / rate)
	}
	for _, step := range []struct{ part, mark float64 }{{growth, max(l.Left*gone, l.Rate)}, {growth * goneGrowth, math.Inf(1)}} {
		mark := min(step.mark, paid.Rate)
		if rate >= mark {
			continue
		}
		// With each call the time to the next is a part shorter: a geometric series.
		shorter := math.Log1p(-step.part)
		calls := min(tokens, math.Log(rate/mark)/shorter)
		next := rate / math.Exp(calls*shorter)
		total += (1/rate - 1/next) / step.part
		rate, tokens = next, tokens-calls
	}
	return seconds(total + tokens/rate)
}

// refused is what a refusal at now teaches. held is what the bucket still held when the refused call had left, and emptied
// when it was empty before, zero when it has been full since.
func (l Learned) refused(now time.Time, paid Limits, held float64, emptied time.Time) Learned {
	is := l.limits(now, paid)
	next := Learned{Rate: is.Rate * accident, Burst: is.Burst * accidentBurst, Left: is.Rate, At: now}
	if !l.At.IsZero() && now.Sub(l.At).Seconds()*is.Rate < soon {
		next.Burst = is.Burst
		if held >= 1 {
			next.Burst = max(is.Burst-held, is.Burst*blind)
		}
		if since := now.Sub(emptied).Seconds(); emptied.IsZero() || since <= 0 {
			next.Rate = is.Rate * blind
		} else {
			next.Left = max((l.Rate+is.Rate)/2-held/since, 0)
			next.Rate = min(max(next.Left*below, is.Rate/2), next.Rate)
		}
	}
	next.Rate = max(next.Rate, paid.Rate*leastShare)
	next.Burst = max(next.Burst, 1)
	next.Left = max(next.Left, next.Rate)
	return next
}

// sound reports whether l is something that refused could have made before now.
func (l Learned) sound(now time.Time) bool {
	if l.At.IsZero() {
		return l == Learned{}
	}
	for _, v := range []float64{l.Rate, l.Burst, l.Left} {
		if !(v > 0) || math.IsInf(v, 0) {
			return false
		}
	}
	return !l.At.After(now)
}
