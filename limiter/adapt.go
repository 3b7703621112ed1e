package limiter

import (
	"math"
	"time"
)

// Learned is what Roam's refusals have taught about a quota. A 429 although the bucket held a token means that another client
// spends the quota, that Roam limits in another way than configured, or nothing at all. Only refusals and the calls that Roam let
// through between them can be observed.
//
// Measuring. Roam had nothing left at each of two refusals, so the calls that it let through in between are what was left for us.
// The count may be off by one or two, so at least 16 calls are needed. Where refusals follow each other with fewer calls in
// between, Roam is overloaded; then a minute is measured, from the first of them.
//
// Episodes. Refusals within a minute of the last change are one overload and change nothing but the pause: a short disturbance
// costs its pauses. TFRC (RFC 5348, section 5.2) counts losses in the same way. So does the first refusal in 150 calls: it may be
// an accident, and costs 1 % of the rate.
//
// The rate after a measurement is a tenth below what was left, but at least half of what it was. It grows by a 220th of itself
// with each call that it allows. From 0.9 of what is left to 1 this takes 23 calls, which save 1.3 tokens at Roam, and the pause
// saves more; to use all that up, the rate must grow to about 1.15. So one refusal comes after 60 to 80 calls, whatever the rate,
// and nothing is lost: Roam's bucket is neither full nor asked in vain for long. Twenty calls above 1.2 without a refusal show
// that the other client has stopped, so from there on the rate grows six times as fast. To notice it sooner than after 50 calls
// is impossible with 2 % refused: only a refusal, or a call that should have been refused, tells anything.
//
// The burst is halved by each episode and grows by a call with every hundred. Until it is whole again the bucket's rule, burst +
// rate × time, is replaced by the strictest that has the same rate: at most burst calls in any burst / rate seconds. It suits
// limiters with fixed or sliding windows as well. The rate stays half a percent below the configured one meanwhile, so that calls
// which overtake each other on the way do not break it.
//
// After a pause the bucket begins with at most three tokens, and with none when an episode goes on: what came in during a pause
// may have been spent by the other client. If it was not, it is in Roam's bucket, as the reserve that makes refusals rare.
//
// Weak spots. Another client that spends in groups as large as the whole burst leaves too little to measure: up to half of the rest
// stays unused. Beside one that spends nine tenths, 3 % are refused. After it has starved us for many minutes, recovery takes
// minutes too.
//
// All of this is arithmetic on one value, which says how it was at one moment: so it can be stored, or shared by replicas.
type Learned struct {
	Rate  float64   `json:"rate"`  // calls a second, at At
	Burst float64   `json:"burst"` // calls at once, at At
	Left  float64   `json:"left"`  // calls a second that seemed to be left for us
	At    time.Time `json:"at"`    // the last refusal that changed something; zero: nothing was learned
}

const (
	enough      = 16          // calls that suffice for a measurement
	apart       = 32          // calls between refusals that do not belong to one overload
	rare        = 150         // calls, and seconds, after which a refusal may be an accident
	episode     = time.Minute // refusals in it count once
	accident    = 0.99        // of the rate, after a refusal that measured nothing
	below       = 0.9         // of what was left
	least       = 0.5         // of the rate before
	floor       = 0.1         // of the configured rate; where less is left, the pauses do the rest
	halved      = 0.5         // of the burst
	slack       = 0.995       // of the configured rate, while the burst is not whole
	growth      = 1.0 / 220   // of the rate, with each call
	fast        = 0.5         // such parts a second instead, above a call a second
	gone        = 1.2         // of what was left: the other client has stopped
	goneGrowth  = 6           // times the growth then
	burstGrowth = 1.0 / 100   // calls at once, with each call at the configured rate
	ready       = 0.3         // of the configured burst, after the first pause of an episode
)

// limits returns what is in force at now.
func (l Learned) limits(now time.Time, configured Limits) Limits {
	if l.At.IsZero() {
		return configured
	}
	return l.after(max(now.Sub(l.At).Seconds(), 0), configured)
}

// after returns what is in force so many seconds after At.
func (l Learned) after(passed float64, configured Limits) Limits {
	mark := min(max(l.Left*gone, l.Rate), configured.Rate)
	rate := grow(l.Rate, passed*growth)
	if until := growsTo(l.Rate, mark) / growth; passed > until {
		rate = grow(mark, (passed-until)*growth*goneGrowth)
	}
	is := Limits{Rate: min(rate, configured.Rate), Burst: max(min(l.Burst+burstGrowth*configured.Rate*passed, configured.Burst), 1)}
	if is.Burst < configured.Burst {
		is.Rate = min(is.Rate, configured.Rate*slack)
	}
	return is
}

// grow returns a rate after a time in which it grew by itself with each call. Above a call a second it grew by half of itself each
// second instead: dr/dt = r², or r/2.
func grow(rate, passed float64) float64 {
	if rate < 1 {
		if passed < 1/rate-1 {
			return 1 / (1/rate - passed)
		}
		rate, passed = 1, passed-(1/rate-1)
	}
	return rate * math.Exp(passed*fast)
}

// growsTo returns after what time grow reaches another rate.
func growsTo(rate, to float64) float64 {
	switch {
	case to <= rate:
		return 0
	case to <= 1:
		return 1/rate - 1/to
	case rate < 1:
		return growsTo(rate, 1) + growsTo(1, to)
	}
	return math.Log(to/rate) / fast
}

// overload returns how long refusals count once, and how long an overload is measured: with a slow quota, until 16 calls would fit.
func overload(configured Limits) time.Duration {
	return max(episode, seconds(enough/configured.Rate))
}

// refused returns what a refusal at now teaches. The zero measurement teaches nothing.
func (l Learned) refused(now time.Time, configured Limits, m measurement) Learned {
	if !l.At.IsZero() && now.Sub(l.At) < overload(configured) {
		return l
	}
	is := l.limits(now, configured)
	next := Learned{Rate: is.Rate * accident, Burst: max(is.Burst*halved, 1), Left: is.Rate, At: now}
	if m.seconds > 0 && min(m.calls, m.seconds) <= rare {
		next.Left = m.calls / m.seconds
		next.Rate = min(max(next.Left*below, is.Rate*least), next.Rate)
	}
	next.Rate = max(next.Rate, configured.Rate*floor)
	next.Left = max(next.Left, next.Rate)
	return next
}

// Sound reports whether l is something that a refusal could have taught before now.
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
