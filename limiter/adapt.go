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
// burst + rate × time, is too loose for a limiter with windows. The rule of guard is in force meanwhile, and the rate stays half a
// percent below the configured one, because calls overtake each other on the way.
//
// After a pause the bucket holds at most three tokens of ten, and none while an overload goes on. What came in during the pause may
// have been spent by the other client. If not, Roam's bucket holds it, as the reserve that makes refusals rare.
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
	overload    = time.Minute // suffices too
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
	ready       = 0.3         // of the configured burst, after a pause
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
		is.Rate = min(is.Rate, s.held(configured))
	}
	return is
}

// held returns the rate of the hold.
func (s AdaptState) held(configured Limits) float64 {
	return min(max(s.Rate, configured.Rate*floor), configured.Rate)
}

// isOver reports whether the other client has stopped: no refusal came until now, and the trial has spent all that Roam can have
// saved.
func (s AdaptState) isOver(now time.Time, configured Limits) bool {
	saved := configured.Burst / max(configured.Rate-s.held(configured), configured.Rate*(1-below))
	if s.Hold == 0 {
		saved = 0
	}
	return now.Sub(s.At).Seconds() >= max(s.Hold+saved, overload.Seconds())
}

// Holds returns how long the hold still lasts at now.
func (s AdaptState) Holds(now time.Time) time.Duration {
	if s.At.IsZero() {
		return 0
	}
	return max(s.At.Add(seconds(s.Hold)).Sub(now), 0)
}

// whole returns when the burst is whole again.
func (s AdaptState) whole(configured Limits) time.Time {
	return s.At.Add(seconds((configured.Burst - s.Burst) / (burstGrowth * configured.Rate)))
}

// tokens returns how many come in from one time to another.
func (s AdaptState) tokens(from, to time.Time, configured Limits) float64 {
	held := min(s.Holds(from), to.Sub(from))
	return held.Seconds()*s.Limits(from, configured).Rate + (to.Sub(from)-held).Seconds()*s.Limits(to, configured).Rate
}

// measurement is how many calls Roam admitted in so many seconds, between two refusals. Zero: nothing was measured.
type measurement struct{ calls, seconds float64 }

// refused returns the state after a refusal at now.
func (s AdaptState) refused(now time.Time, configured Limits, m measurement) AdaptState {
	is, holds := s.Limits(now, configured), s.Holds(now) > 0
	next := AdaptState{Rate: is.Rate, Burst: max(is.Burst*halved, 1), At: now} // perhaps an accident
	switch {
	case m.seconds > 0 && min(m.calls, m.seconds) <= rare:
		next.Rate = m.calls / m.seconds * below
		next.Rate = next.held(configured)
		next.Hold = s.Hold * backoff
		if holds {
			next.Hold = s.Hold / backoff
		}
		next.Hold = min(max(next.Hold, firstHold/configured.Rate), mostHold/configured.Rate, mostHeld/next.Rate)
	case m.seconds == 0 && holds: // the overload goes on
		return s
	case m.seconds == 0 && !s.At.IsZero() && !s.isOver(now, configured): // a trial failed at once
		next.Rate, next.Burst, next.Hold = s.Rate, is.Burst, s.Hold
	}
	return next
}
