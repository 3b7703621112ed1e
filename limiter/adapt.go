package limiter

import (
	"math"
	"time"
)

// Learned is what Roam's refusals have taught about a quota. A 429 although the bucket held a token means that another client
// spends the quota, that Roam limits in another way than configured, or nothing at all. Only refusals, and the calls that Roam
// lets through between them, can be observed.
//
// Measuring. Roam had nothing left at each of two refusals. So the calls that it let through in between are what was left for us.
// The count may be off by one or two, so a measurement needs 16 calls. Where refusals follow each other with fewer calls in
// between, Roam is overloaded. Then a minute is measured, from the first of them.
//
// Episodes. Refusals within a minute of the last change belong to one overload. They change nothing but the pause, so a short
// disturbance costs its pauses. TFRC counts losses in the same way (RFC 5348, section 5.2). A refusal that measures nothing, or
// the first one in 150 calls, may be an accident. It costs 1 % of the rate.
//
// The rate. After a measurement it is a tenth below what was left, and at least half of what it was. It grows by a 220th of itself
// with each call that it allows. From 0.9 of what is left to 1 this takes 23 calls, which save 1.3 tokens at Roam; the pause saves
// some more. To use all that up the rate must grow to 1.1 or 1.2. So a refusal comes after 60 to 80 calls, whatever the rate, and
// hardly a token is lost: Roam's bucket does not fill up meanwhile. A rate of 1.2 without a refusal shows that the other client
// has stopped, and from there on it grows six times as fast. Nothing tells sooner: only a refusal, or none where one had to
// come, tells anything, and with 2 % refused that is once in 50 calls.
//
// The burst. Each episode halves it, and it grows by a call with every hundred. Until it is whole again, the bucket's rule, burst +
// rate × time, is too loose for a limiter with windows. The strictest rule with the same rate is in force then: at most burst calls
// in any burst / rate seconds. The rate stays half a percent below the configured one, because calls overtake each other on the way.
//
// After a pause the bucket holds at most three tokens of ten, and none while an episode goes on. What came in during the pause may
// have been spent by the other client. If not, Roam's bucket holds it, as the reserve that makes refusals rare.
//
// Weak spots. Another client that spends in groups as large as the burst leaves too little to measure: a third of the rest may stay
// unused, or more. Beside one that spends nine tenths, 3 % are refused. Recovery takes minutes after it has starved us for many.
//
// All of this is arithmetic on one value, which says how it was at one moment. So it can be stored, and shared by replicas.
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
	is := Limits{Burst: max(min(l.Burst+burstGrowth*configured.Rate*passed, configured.Burst), 1)}
	most := configured.Rate
	if is.Burst < configured.Burst {
		most *= slack
	}
	if until := growsTo(l.Rate, mark) / growth; passed > until {
		is.Rate = grow(mark, (passed-until)*growth*goneGrowth, most)
	} else {
		is.Rate = grow(l.Rate, passed*growth, most)
	}
	return is
}

// grow returns a rate, and at most most, after a time in which it grew by itself with each call. Above a call a second it grew by half
// of itself each second instead: dr/dt = r², or r/2.
func grow(rate, passed, most float64) float64 {
	if rate < 1 {
		if passed < 1/rate-1 {
			return min(1/(1/rate-passed), most)
		}
		rate, passed = 1, passed-(1/rate-1)
	}
	if exponent := passed * fast; rate*(1+exponent) < most {
		return min(rate*math.Exp(exponent), most)
	}
	return most // the exponential is larger than that, and a forecast computes it for each call
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
