package limiter

import "time"

// Adaptive wraps the Bucket of a quota and imposes the limits that Roam's refusals teach (AdaptState). The Queue reports every call
// that was sent and what became of it, and takes the tokens from the Bucket itself. It is called with the Queue's lock held.
type Adaptive struct {
	bucket Bucket
	shared bool

	off     bool
	learned AdaptState
	held    time.Time // the end of the hold whose rate the bucket accrues at; zero: of none
	slots   slots
	guard   guard
	calls   float64   // that Roam admitted so far; of a shared bucket, the tokens that it gave to all replicas
	counted time.Time // a shared bucket's tokens are in calls until then; zero: a pause stops them
	start   refusal   // where the present measurement begins; zero: nowhere
	paused  bool      // a refusal began the present pause
}

// refusal is a moment at which Roam had nothing left.
type refusal struct {
	at    time.Time
	calls float64 // before it
}

// NewAdaptive returns an Adaptive that has learned nothing. shared: other replicas spend the bucket's tokens too.
func NewAdaptive(b Bucket, shared bool) *Adaptive { return &Adaptive{bucket: b, shared: shared} }

// Configured returns the limits of the bucket, without what was learned.
func (a *Adaptive) Configured() Limits { return a.bucket.Limits() }

// Limits returns what is in force at now.
func (a *Adaptive) Limits(now time.Time) Limits {
	return a.learned.limits(now, a.bucket.Limits())
}

// Believed returns the rate that seems to be left for us at now. A trial does not change it until it has lasted long enough.
func (a *Adaptive) Believed(now time.Time) float64 {
	return a.learned.believed(now, a.bucket.Limits())
}

// Prepare has the bucket accrue at the limits in force at now. It returns how long the guard holds the next call back, and after how
// long Prepare is due again.
func (a *Adaptive) Prepare(now time.Time) (wait, again time.Duration) {
	a.enforce(now)
	if whole := a.whole(now); whole > 0 {
		wait = min(max(a.guard.free(a.bucket.Limits()).Sub(now), 0), whole)
	}
	if again = a.learned.holds(now); again == 0 {
		again = never
	}
	return wait, again
}

// whole returns for how long the guard is in force: until the burst is whole, but not where replicas share the bucket, which do not
// know of each other's calls.
func (a *Adaptive) whole(now time.Time) time.Duration {
	if a.shared || a.learned.At.IsZero() {
		return 0
	}
	return max(a.learned.whole(a.bucket.Limits()).Sub(now), 0)
}

// enforce has the bucket accrue at the limits in force, from the end of a hold on although it was not asked then.
func (a *Adaptive) enforce(now time.Time) {
	s, end := a.learned, a.held
	if a.held = (time.Time{}); s.holds(now) > 0 {
		a.held = now.Add(s.holds(now))
	}
	if !end.IsZero() && !end.After(now) {
		a.bucket.SetLimits(end, s.limits(end, a.bucket.Limits()))
	}
	a.bucket.SetLimits(now, s.limits(now, a.bucket.Limits()))
}

// Lower is Bucket.Lower with the limits in force.
func (a *Adaptive) Lower(now time.Time, level float64) {
	a.enforce(now)
	a.bucket.Lower(now, level)
}

// Level is Bucket.Level with the limits in force.
func (a *Adaptive) Level(now time.Time) float64 {
	a.enforce(now)
	return a.bucket.Level(now)
}

// lacks is what a full bucket may lack, since it is counted in whole millionths of calls.
const lacks = 0.01

// IsFull reports whether tokens are lost at now, because the bucket is full.
func (a *Adaptive) IsFull(now time.Time) bool { return a.Level(now) > a.Limits(now).Burst-lacks }

// Sent reports a call that is sent at now, with a token. Exactly one of Answered, Refused, RefusedToo and Ended follows. burst: the
// call follows the one before it sooner than the rate asks for.
func (a *Adaptive) Sent(now time.Time) (burst bool) {
	level, is := a.Level(now), a.Limits(now)
	a.slots.sent(level+1 > is.Burst-lacks)
	return a.guard.sent(now, a.bucket.Limits().calls()) < seconds(0.5/is.Rate)
}

// Answered reports that Roam admitted a call.
func (a *Adaptive) Answered() {
	a.slots.answered()
	a.count()
}

// Ended reports a call without an answer. unused: it was not sent after all.
func (a *Adaptive) Ended(unused bool) {
	a.slots.ended()
	if unused {
		a.guard.unsent()
	} else {
		a.count() // Roam may have admitted it
	}
}

// count counts a call that Roam admitted.
func (a *Adaptive) count() {
	if !a.shared {
		a.calls++
	}
}

// countShared counts the tokens that a shared bucket gave until now.
func (a *Adaptive) countShared(now time.Time) {
	if a.shared && !a.counted.IsZero() {
		a.calls += a.learned.tokens(a.counted, now, a.bucket.Limits())
	}
	a.counted = time.Time{}
}

// Refused reports a 429 at now that begins a pause. burst is what Sent returned.
func (a *Adaptive) Refused(now time.Time, burst bool) {
	a.slots.ended()
	a.countShared(now)
	a.paused = true
	if !a.off {
		a.slots.refused(burst)
		a.learned = a.learned.refused(now, a.bucket.Limits(), a.measure(now))
	}
	a.Lower(now, 0) // whatever we believed, Roam says that nothing is left
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

// RefusedToo reports another 429 of the moment in which the present pause began.
func (a *Adaptive) RefusedToo() {
	a.slots.ended()
	a.slots.refusedToo()
}

// Paused reports a pause at now that an earlier process, or another replica, saw begin.
func (a *Adaptive) Paused(now time.Time) {
	a.countShared(now)
	a.paused = true
}

// Resumed reports that a pause is over, in which the bucket may have earned too much.
func (a *Adaptive) Resumed(now time.Time) {
	level := a.carryover()
	a.counted, a.paused = now, false
	a.Lower(now, level)
}

// carryover returns how many tokens the present pause leaves in the bucket at most.
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
func (a *Adaptive) Unmeasured() {
	a.start = refusal{}
}

// Slots returns how many calls may be in flight at once, of most.
func (a *Adaptive) Slots(most int) int {
	return a.slots.of(most)
}

// Switch turns learning on or off. Off, it forgets what was learned.
func (a *Adaptive) Switch(on bool) {
	if !on {
		a.SetLearned(AdaptState{})
	}
	a.off = !on
}

// Learned returns what was learned so far.
func (a *Adaptive) Learned() AdaptState {
	return a.learned
}

// SetLearned replaces what was learned, by what a state file or another replica says. The zero state forgets everything.
func (a *Adaptive) SetLearned(s AdaptState) {
	switch {
	case a.off:
		return
	case s.At.IsZero():
		a.slots.most, a.start = 0, refusal{}
	case a.shared && s.Rate != a.learned.Rate && s.At.After(a.start.at): // another replica has measured, up to there
		a.countShared(s.At)
		a.start = refusal{s.At, a.calls}
	}
	a.learned = s
}
