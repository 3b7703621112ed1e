package limiter

import "time"

// adaptive wraps the Bucket of a quota. It knows how many tokens Roam has for us at most, as its refusals show, and how many come in
// (AdaptState). The Queue asks it before the Bucket, and reports to it what became of each call, with the Queue's lock held.
type adaptive struct {
	bucket  Bucket
	shared  bool // replicas spend its tokens too, and it imposes the limits in force on all of them
	learned AdaptState
	level   float64 // tokens that Roam has for us at most, at updated
	updated time.Time
	guard   guard
	meter   meter // of a shared bucket it counts the tokens that come in for all replicas outside of pauses, instead of calls
	paused  bool  // a refusal began the present pause
}

// newAdaptive returns an adaptive that has learned nothing. What a shared bucket says about its level is only a guess.
func newAdaptive(now time.Time, b Bucket, shared bool) *adaptive {
	a := &adaptive{bucket: b, shared: shared, level: b.Limits().Burst, updated: now}
	if !shared {
		a.level = b.Level(now)
	}
	return a
}

// Sent reports a call that is sent at now, with a token of the Bucket. Admitted, Unsent, or Refused may follow. full: tokens were
// lost before it, because the bucket was full. soon: it follows the call before it sooner than the rate asks for.
func (a *adaptive) Sent(now time.Time) (full, soon bool) {
	a.accrue(now)
	is := a.Limits(now)
	full = min(a.level, a.bucket.Level(now)+1) > is.Burst-lacks
	a.level--
	return full, a.guard.sent(now, a.bucket.Limits().calls()) < seconds(0.5/is.Rate)
}

// lacks is what a full bucket may lack, since it is counted in whole millionths of calls.
const lacks = 0.01

// Unsent reports that the latest call was not sent after all, or shows nothing.
func (a *adaptive) Unsent(now time.Time) {
	a.guard.unsent()
	a.level++
	a.accrue(now)
}

// Admitted reports that Roam admitted a call, or may have.
func (a *adaptive) Admitted() {
	if !a.shared {
		a.meter.calls++
	}
}

// Refused reports a 429 at now that begins a pause.
func (a *adaptive) Refused(now time.Time) {
	a.Paused(now)
	configured := a.bucket.Limits()
	a.learned = a.learned.refused(now, configured, a.meter.refused(now, configured.Rate))
	a.level = 0 // whatever we believed, Roam says that nothing is left
}

// Paused reports a pause at now that an earlier process, or another replica, saw begin.
func (a *adaptive) Paused(now time.Time) {
	a.accrue(now)
	a.paused = true
}

// Resumed reports that a pause is over.
func (a *adaptive) Resumed(now time.Time) {
	a.Lower(now, a.carryover())
	a.paused = false
}

// carryover returns how many tokens the present pause leaves: three of ten, and none while an overload goes on, in which a refusal
// measures nothing. What came in during the pause may have been spent by the other client. If not, Roam's bucket holds it, as the
// reserve that makes refusals rare.
func (a *adaptive) carryover() float64 {
	const ready = 0.3
	switch {
	case !a.paused:
		return a.bucket.Limits().Burst
	case a.learned.At.Equal(a.meter.start):
		return ready * a.bucket.Limits().Burst
	}
	return 0
}

// SetLearned replaces what was learned, by what a state file or another replica says. The zero state forgets everything.
func (a *adaptive) SetLearned(now time.Time, s AdaptState) {
	a.accrue(now)
	if s.At.IsZero() {
		a.meter.void()
	} else if a.shared && s.Rate != a.learned.Rate && s.At.After(a.meter.start) { // another replica has measured, up to there
		a.meter.begin(s.At)
	}
	a.learned = s
}
