package limiter

import "time"

// AdaptState is what Roam's refusals say about a quota. A 429 although the bucket held a token means that another client spends the
// quota, that Roam limits in another way than configured, or nothing at all.
//
// Measuring. At each refusal Roam has nothing left. So the calls that it admits between two refusals are what is left for us. The
// count may be off by one or two, so a measurement needs 16 calls. Where Roam admits fewer in a minute, it needs a minute.
//
// Hold and trial. After a measurement the rate is 0.95 of what was left, for the time Hold. Then comes a trial of the configured
// rate. If the other client has stopped, nothing ends the trial: the whole quota is used again. Otherwise the trial spends what
// Roam has saved for us meanwhile, and its refusal ends the next measurement. So hardly a token is lost, whatever is left.
//
// Length of the hold. At most 2 % of the calls may be refused, which is one in 50. So a hold lasts for 50 calls at most. Where less
// than a fourth is left, it ends sooner, since recovery is worth more than refusals. Nothing shows the end of another client's use
// sooner: a trial is refused or shows nothing. But the first hold is short, and after each refused trial the next one is half as
// long again. So after a short disturbance the holds are short too. A refusal during a hold shows that holding does not help, for
// example against another client that calls in groups. It makes the hold shorter by the same factor.
//
// The burst. Each measurement halves it, and it grows by a call with every hundred. Until it is whole again, the bucket's rule,
// burst + rate × time, is too loose for a limiter with windows. The guard is in force meanwhile, and the rate stays half a percent
// below the configured one, because calls overtake each other on the way.
//
// Weak spots. Beside a client that spends nine tenths, 5 % are refused. A limiter that refuses at random, whatever the rate, is taken
// for another client: a weighted count of two windows, two nodes with half of the quota each, or an endpoint with a limit of its own.
//
// The limits are a function of this state and of time, so it can be stored, and shared by replicas.
type AdaptState struct {
	Rate  float64   `json:"rate"`  // calls a second, during the hold
	Burst float64   `json:"burst"` // calls at once, at At
	Hold  float64   `json:"hold"`  // seconds from At to the trial; 0: nothing was measured
	At    time.Time `json:"at"`    // the latest refusal that changed something; zero: there was none
}

const (
	enough      = 16          // calls that suffice for a measurement
	overload    = time.Minute // suffices too, and a trial that lasts for so long has succeeded
	rare        = 150         // calls and seconds; after as many, a refusal may be an accident
	below       = 0.95        // of what was left
	floor       = 0.1         // of the configured rate; where less is left, the pauses do the rest
	firstHold   = 20          // calls at the configured rate
	mostHold    = 220         // such calls: 50 at less than a fourth of it
	mostHeld    = 50          // calls at the rate of the hold
	backoff     = 1.5         // the next hold, by this one
	halved      = 0.5         // of the burst
	slack       = 0.995       // of the configured rate, while the burst is not whole
	burstGrowth = 1.0 / 100   // calls at once, with each call at the configured rate
)

// Limits returns what is in force at now.
func (s AdaptState) Limits(now time.Time, configured Limits) Limits {
	if s.At.IsZero() {
		return configured
	}
	passed := max(now.Sub(s.At), 0)
	is := Limits{configured.Rate, max(min(s.Burst+burstGrowth*configured.Rate*passed.Seconds(), configured.Burst), 1)}
	if is.Burst < configured.Burst {
		is.Rate *= slack
	}
	if passed < seconds(s.Hold) {
		is.Rate = min(is.Rate, max(s.Rate, configured.Rate*floor))
	}
	return is
}

// Holds returns how long the hold still lasts at now.
func (s AdaptState) Holds(now time.Time) time.Duration {
	return max(s.At.Add(seconds(s.Hold)).Sub(now), 0)
}

// partial returns for how long the burst is not whole yet.
func (s AdaptState) partial(now time.Time, configured Limits) time.Duration {
	return max(s.At.Add(seconds((configured.Burst-s.Burst)/(burstGrowth*configured.Rate))).Sub(now), 0)
}

// tokens returns how many come in from one time to another.
func (s AdaptState) tokens(from, to time.Time, configured Limits) float64 {
	held := min(s.Holds(from), to.Sub(from))
	return held.Seconds()*s.Limits(from, configured).Rate + (to.Sub(from)-held).Seconds()*s.Limits(to, configured).Rate
}

// refused returns the state after a refusal at now.
func (s AdaptState) refused(now time.Time, configured Limits, m measurement) AdaptState {
	is, holds := s.Limits(now, configured), s.Holds(now) > 0
	next := AdaptState{Rate: is.Rate, Burst: max(is.Burst*halved, 1), At: now} // perhaps an accident
	switch {
	case m.seconds > 0 && min(m.calls, m.seconds) <= rare:
		next.Rate = min(max(m.calls/m.seconds*below, configured.Rate*floor), configured.Rate)
		next.Hold = s.Hold * backoff
		if holds {
			next.Hold = s.Hold / backoff
		}
		next.Hold = min(max(next.Hold, firstHold/configured.Rate), mostHold/configured.Rate, mostHeld/next.Rate)
	case m.seconds == 0 && holds: // the overload goes on
		return s
	case m.seconds == 0 && now.Sub(s.At) < seconds(s.Hold)+overload: // a trial failed at once
		next.Rate, next.Burst, next.Hold = s.Rate, is.Burst, s.Hold
	}
	return next
}
