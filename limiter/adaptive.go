package limiter

import (
	"math"
	"sync"
	"time"
)

// Adaptive wraps the Bucket of a quota and imposes limits that it learns from Roam's refusals (Learned). The Queue reports every
// call that was sent and what became of it. An Adaptive may be used by many goroutines; it calls its Bucket without a lock of its
// own.
type Adaptive struct {
	bucket Bucket
	shared bool

	mu       sync.Mutex // guards the following
	off      bool
	learned  Learned
	inFlight int         // calls
	times    []time.Time // when the last calls were sent, as many as the burst has
	history  history
	slots    slots
}

// Sample is what was true when a call was sent.
type Sample struct {
	left  time.Time
	burst bool // it followed the one before it sooner than the rate asks for
}

// NewAdaptive returns an Adaptive that has learned nothing. shared: other replicas spend the bucket's tokens too.
func NewAdaptive(b Bucket, shared bool) *Adaptive { return &Adaptive{bucket: b, shared: shared} }

// Limits returns what is in force at now.
func (a *Adaptive) Limits(now time.Time) Limits {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limits(now)
}

func (a *Adaptive) limits(now time.Time) Limits { return a.learned.limits(now, a.bucket.Limits()) }

// enforce has the bucket accrue at the limits in force.
func (a *Adaptive) enforce(now time.Time) Limits {
	l := a.Limits(now)
	a.bucket.SetLimits(now, l)
	return l
}

// Take is Bucket.Take with the limits in force.
func (a *Adaptive) Take(now time.Time, d Demand) time.Duration {
	l := a.enforce(now)
	if wait := a.guard(now, l); wait > 0 {
		return wait
	}
	return a.bucket.Take(now, d)
}

// guard returns how long until the strict rule of Learned allows another call.
func (a *Adaptive) guard(now time.Time, is Limits) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.guarded(is)
	if n == 0 || len(a.times) < n {
		return 0
	}
	return max(a.times[len(a.times)-n].Add(seconds(float64(n)/is.Rate)).Sub(now), 0)
}

// guarded returns how many calls may be sent in the time that the rate needs for them; 0: any number, since the limits are the
// configured ones, or shared by replicas, which do not know of each other's calls.
func (a *Adaptive) guarded(is Limits) int {
	if a.shared || is == a.bucket.Limits() {
		return 0
	}
	return a.burst()
}

// burst is the configured burst in whole calls.
func (a *Adaptive) burst() int { return max(int(math.Round(a.bucket.Limits().Burst)), 1) }

// Return is Bucket.Return.
func (a *Adaptive) Return(now time.Time) { a.bucket.Return(now) }

// Lower is Bucket.Lower.
func (a *Adaptive) Lower(now time.Time, level float64) {
	a.enforce(now)
	a.bucket.Lower(now, level)
}

// Configured returns the limits of the bucket, without what was learned.
func (a *Adaptive) Configured() Limits { return a.bucket.Limits() }

// Level is Bucket.Level with the limits in force.
func (a *Adaptive) Level(now time.Time) float64 {
	a.enforce(now)
	return a.bucket.Level(now)
}

// Sent reports a call that is sent at now. Exactly one of Answered, Refused and Ended follows.
func (a *Adaptive) Sent(now time.Time) Sample {
	level := a.Level(now)
	a.mu.Lock()
	defer a.mu.Unlock()
	is, s := a.limits(now), Sample{left: now}
	if n := len(a.times); n > 0 {
		s.burst = now.Sub(a.times[n-1]).Seconds() < 0.5/is.Rate
	}
	if n := a.burst(); len(a.times) >= 2*n {
		a.times = append(a.times[:0], a.times[len(a.times)-n:]...)
	}
	a.times = append(a.times, now)
	a.history.sent++
	a.inFlight++
	if level+1 > is.Burst-lacks {
		a.slots.starve(a.inFlight)
	}
	return s
}

// Answered reports that Roam let the call through.
func (a *Adaptive) Answered(Sample) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	a.slots.answered()
}

// Ended reports a call without an answer. unused: it was not sent after all.
func (a *Adaptive) Ended(_ Sample, unused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	if unused {
		a.history.sent--
		a.times = a.times[:max(len(a.times)-1, 0)]
	}
}

// Refused reports a 429 at now. first: it began a pause, and is not one of several of the same moment. probe: it answered the
// first call after a pause, and says only that the pause was too short.
func (a *Adaptive) Refused(now time.Time, s Sample, first, probe bool) {
	a.mu.Lock()
	a.inFlight--
	a.history.refused(now, first)
	if !first {
		a.slots.refusedToo()
		a.mu.Unlock()
		return
	}
	if !a.off {
		m := a.history.measure(s.left, a.bucket.Limits(), a.rate(now))
		if !probe {
			a.learned = a.learned.refused(now, a.bucket.Limits(), m)
			a.slots.refused(s.burst, a.inFlight)
		}
		if a.learned.At.Equal(now) {
			a.history.start = a.history.last
		}
	}
	a.mu.Unlock()
	a.Lower(now, 0) // whatever we believed, Roam says that nothing is left
}

// rate returns the mean rate that the replicas have used together since a moment, at now; nil where only our calls count. The lock
// is held.
func (a *Adaptive) rate(now time.Time) func(since time.Time) float64 {
	if !a.shared {
		return nil
	}
	return func(since time.Time) float64 { return (a.limits(since).Rate + a.limits(now).Rate) / 2 }
}

// Idle reports that at now no call is queued. A full bucket then loses what comes in, so nothing can be measured across it.
func (a *Adaptive) Idle(now time.Time) {
	level := a.Level(now)
	a.mu.Lock()
	defer a.mu.Unlock()
	if level > a.limits(now).Burst-lacks {
		a.history.forget()
	}
}

// Interrupted reports that calls are held for a reason that Roam does not know of. Nothing can be measured across it either.
func (a *Adaptive) Interrupted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.history.forget()
}

// lacks is what a full bucket may lack, since it is counted in whole millionths of calls.
const lacks = 0.01

// Paused reports a pause that an earlier process, or another replica, saw begin.
func (a *Adaptive) Paused(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.history.since.IsZero() {
		a.history.since = now
	}
}

// Resumed reports that a pause is over, in which the bucket may have earned too much.
func (a *Adaptive) Resumed(now time.Time) {
	a.mu.Lock()
	level := a.carryover().tokens(a.limits(now))
	a.history.resumed(now)
	a.mu.Unlock()
	if level < math.Inf(1) {
		a.Lower(now, level)
	}
}

// carryover is how many tokens a pause leaves in the bucket at most; +Inf: all.
type carryover float64

// carryover returns what the present pause leaves. The lock is held.
func (a *Adaptive) carryover() carryover {
	switch {
	case a.off || a.history.since.IsZero():
		return carryover(math.Inf(1)) // no refusal began it
	case a.history.last.at.After(a.learned.At):
		return 0
	}
	return carryover(ready * a.bucket.Limits().Burst)
}

// tokens returns the most that the bucket holds after the pause, with some limits in force: less than the burst, too.
func (c carryover) tokens(is Limits) float64 {
	if math.IsInf(float64(c), 1) {
		return float64(c)
	}
	return max(min(float64(c), is.Burst-1), 0)
}

// Slots returns how many calls may be in flight at once, of most.
func (a *Adaptive) Slots(most int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.slots.of(most)
}

// Reset forgets what was learned.
func (a *Adaptive) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reset()
}

func (a *Adaptive) reset() {
	a.learned, a.slots = Learned{}, slots{}
	a.history.forget()
}

// Switch turns learning on or off. Off, it forgets what was learned.
func (a *Adaptive) Switch(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.off = !on; a.off {
		a.reset()
	}
}

// Learned returns what was learned so far.
func (a *Adaptive) Learned() Learned {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.learned
}

// SetLearned replaces what was learned, by what a state file or another replica says.
func (a *Adaptive) SetLearned(l Learned) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.off || l == a.learned:
	case l.At.IsZero(): // another replica was told to forget it
		a.reset()
	default:
		a.learned = l
		if a.shared {
			a.history.heard(l.At)
		}
	}
}
