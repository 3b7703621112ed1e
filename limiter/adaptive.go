package limiter

import "time"

// Adaptive wraps the Bucket of a quota. It knows how many tokens Roam has for us at most, as its refusals show, and how many come in
// (AdaptState). The Queue asks it before the Bucket, and reports to it what became of each call, with the Queue's lock held.
type Adaptive struct {
	bucket  Bucket
	shared  bool // replicas spend its tokens too, and it imposes the limits in force on all of them
	off     bool // nothing is learned
	learned AdaptState
	level   float64 // tokens that Roam has for us at most, at updated
	updated time.Time
	guard   guard
	paused  bool    // a refusal began the present pause
	calls   float64 // that Roam admitted; of a shared bucket, the tokens that came in for all replicas outside of pauses
	start   refusal // where the present measurement begins; zero: nowhere
}

// refusal is a moment at which Roam had nothing left.
type refusal struct {
	at    time.Time
	calls float64 // before it
}

// NewAdaptive returns an Adaptive that has learned nothing. What a shared bucket says about its level is only a guess.
func NewAdaptive(now time.Time, b Bucket, shared bool) *Adaptive {
	a := &Adaptive{bucket: b, shared: shared, level: b.Limits().Burst, updated: now}
	if !shared {
		a.level = b.Level(now)
	}
	return a
}

// Limits returns what is in force at now.
func (a *Adaptive) Limits(now time.Time) Limits { return a.learned.Limits(now, a.bucket.Limits()) }

// Level returns how many tokens there are at now.
func (a *Adaptive) Level(now time.Time) float64 {
	a.accrue(now)
	return min(a.level, a.bucket.Level(now))
}

// Lower removes tokens until there are no more than level.
func (a *Adaptive) Lower(now time.Time, level float64) {
	a.accrue(now)
	a.level = min(a.level, level)
}

// accrue adds the tokens that came in until now.
func (a *Adaptive) accrue(now time.Time) {
	earned := a.learned.tokens(a.updated, now, a.bucket.Limits())
	a.level, a.updated = min(a.level+earned, a.Limits(now).Burst), now
	if a.shared && !a.paused {
		a.calls += earned
	}
}

// Wait returns how long it is until the next call may ask the Bucket for a token.
func (a *Adaptive) Wait(now time.Time, d Demand) time.Duration {
	p := a.plan(now)
	return p.When(0, d.Margin+d.Reserve, 1)
}

// Sent reports a call that is sent at now, with a token of the Bucket. Admitted, Unsent, or Refused may follow. full: tokens were
// lost before it, because the bucket was full. soon: it follows the call before it sooner than the rate asks for.
func (a *Adaptive) Sent(now time.Time) (full, soon bool) {
	a.accrue(now)
	is := a.Limits(now)
	full = min(a.level, a.bucket.Level(now)+1) > is.Burst-lacks
	a.level--
	return full, a.guard.sent(now, a.bucket.Limits().calls()) < seconds(0.5/is.Rate)
}

// lacks is what a full bucket may lack, since it is counted in whole millionths of calls.
const lacks = 0.01

// Unsent reports that the latest call was not sent after all, or shows nothing.
func (a *Adaptive) Unsent(now time.Time) {
	a.guard.unsent()
	a.level++
	a.accrue(now)
}

// Admitted reports that Roam admitted a call, or may have.
func (a *Adaptive) Admitted() {
	if !a.shared {
		a.calls++
	}
}

// Refused reports a 429 at now that begins a pause.
func (a *Adaptive) Refused(now time.Time) {
	a.Paused(now)
	if !a.off {
		a.learned = a.learned.refused(now, a.bucket.Limits(), a.measure(now))
	}
	a.level = 0 // whatever we believed, Roam says that nothing is left
}

// Paused reports a pause at now that an earlier process, or another replica, saw begin.
func (a *Adaptive) Paused(now time.Time) {
	a.accrue(now)
	a.paused = true
}

// measure returns what was measured up to a refusal at now.
func (a *Adaptive) measure(now time.Time) (m measurement) {
	if !a.start.at.IsZero() {
		m = measurement{a.calls - a.start.calls, now.Sub(a.start.at).Seconds()}
		if m.calls < enough && m.seconds < max(overload.Seconds(), enough/a.bucket.Limits().Rate) {
			return measurement{}
		}
	}
	a.start = refusal{now, a.calls}
	return m
}

// Resumed reports that a pause is over, in which the bucket may have earned too much.
func (a *Adaptive) Resumed(now time.Time) {
	a.Lower(now, a.carryover())
	a.paused = false
}

// carryover returns how many tokens the present pause leaves at most.
func (a *Adaptive) carryover() float64 {
	burst := a.bucket.Limits().Burst
	switch {
	case a.off || !a.paused:
		return burst
	case a.learned.At.Equal(a.start.at):
		return ready * burst
	}
	return 0 // the refusal measured nothing: an overload goes on
}

// Unmeasured reports that tokens were lost, or calls held for a reason that Roam does not know of. Nothing can be measured across
// such a moment.
func (a *Adaptive) Unmeasured() { a.start = refusal{} }

// SetLearned replaces what was learned, by what a state file or another replica says. The zero state forgets everything.
func (a *Adaptive) SetLearned(now time.Time, s AdaptState) {
	a.accrue(now)
	if a.off {
		s = AdaptState{}
	}
	switch {
	case s.At.IsZero():
		a.start = refusal{}
	case a.shared && s.Rate != a.learned.Rate && s.At.After(a.start.at): // another replica has measured, up to there
		a.start = refusal{s.At, a.calls}
	}
	a.learned = s
}
