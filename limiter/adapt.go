package limiter

import (
	"math"
	"time"
)

// A 429 although the bucket held a token means that somebody else spends the quota, or that it is smaller than configured. What
// is left is learned from the refusals alone, because Roam tells nothing else:
//
//   - The first refusal in a while may be an accident. It costs a twentieth of the rate, which is back after 18 calls, and two
//     fifths of the burst, so that what accrues in the pause is not all spent at once on a quota that may not have it.
//   - Another one soon after is no accident. Roam had nothing left when it refused the one and the other, so the calls that it let
//     through in between are just what came in for us. Few calls measure badly, so the time over which they are counted goes back
//     to a refusal with 16 calls since, where there is one. The rate falls to 15 % below what came in: at least by a twentieth, at
//     most by half. Where a call has found the bucket full in between, more may have come in than we had a use for, and it falls by
//     a quarter at most. The burst loses what the bucket held too much, a quarter at most.
//   - While all is well the rate grows by a 350th of itself with each call that it allows. From 15 % below what is left it takes
//     some 135 calls to a quarter above, and over that time the excess only uses up what was saved before: less than one call in a
//     hundred is refused, whatever the rate. Once a quarter above what was found left, somebody must have stopped, and it grows
//     four times as fast. The burst grows by a call with every hundred.
//
// The weak spot is somebody who spends in bursts as large as the whole quota's. Between a refusal and the next burst nothing is
// measured, so the rate sinks towards its floor, a tenth, and is slow to come back: in an hour between a third and all of what is
// left is used, as the bursts happen to fall. A floor of a fifth would use more of it, but has a third of all calls refused where
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

const (
	accident      = 0.95      // of the rate, after the first refusal
	accidentBurst = 0.6       // of the burst, after the first refusal
	below         = 0.85      // of what came in, after another
	blind         = 0.75      // of the rate at least, after another that little was measured by; and so the burst
	soon          = 400       // calls' time within which a refusal is another one
	enough        = 16        // calls that what came in is measured by
	lacks         = 0.01      // calls that a full bucket may lack, since it is counted in whole millionths of them
	growth        = 1.0 / 350 // of the rate, with each call
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

// refused is what a refusal at now teaches. held is what the bucket still held when the refused call had left, came how many calls
// a second Roam had let through since it had nothing left before, and full says that the bucket has been full since, so that more
// may have come in.
func (l Learned) refused(now time.Time, paid Limits, held, came float64, full bool) Learned {
	is := l.limits(now, paid)
	next := Learned{Rate: is.Rate * accident, Burst: is.Burst * accidentBurst, Left: is.Rate, At: now}
	if !l.At.IsZero() && now.Sub(l.At).Seconds()*is.Rate < soon {
		next.Burst = is.Burst
		if held >= 1 {
			next.Burst = max(is.Burst-held, is.Burst*blind)
		}
		least := is.Rate / 2
		if full {
			least = is.Rate * blind
		}
		next.Left, next.Rate = came, min(max(came*below, least), next.Rate)
	}
	next.Rate = max(next.Rate, paid.Rate*leastShare)
	next.Burst = max(next.Burst, 1)
	next.Left = max(next.Left, next.Rate)
	return next
}

// Sound reports whether l is something that refused could have made before now.
func (l Learned) Sound(now time.Time) bool {
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
