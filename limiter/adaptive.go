package limiter

import (
	"math"
	"sync"
	"time"
)

// Adaptive wraps the Bucket of a quota and imposes limits that it learns from Roam's refusals. The Queue reports every call that
// was sent and what became of it. What was learned is one value, Learned, so that it can be stored or shared. An Adaptive may be
// used by many goroutines; it calls its Bucket without a lock of its own.
type Adaptive struct {
	bucket Bucket
	shared bool

	mu      sync.Mutex // guards the following
	off     bool
	learned Learned
	since   time.Time // when a call left that Roam refused, having nothing left: calls are counted from here
	sent    int       // calls since, but for the refused
	full    bool      // the bucket has been full since, so more calls may have been possible
	ramp    int       // after a pause, calls that may be in flight at once; 0: any number
}

// NewAdaptive returns an Adaptive that has learned nothing. shared: other replicas spend the bucket's tokens too.
func NewAdaptive(b Bucket, shared bool) *Adaptive {
	return &Adaptive{bucket: b, shared: shared, full: true}
}

// Sample is what was true when a call was sent.
type Sample struct {
	left time.Time
	held float64 // tokens that the bucket had then
	sent int     // calls before it
}

// Limits returns what is in force at now.
func (a *Adaptive) Limits(now time.Time) Limits {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.learned.limits(now, a.bucket.Limits())
}

// enforce has the bucket accrue at the limits in force.
func (a *Adaptive) enforce(now time.Time) Limits {
	l := a.Limits(now)
	a.bucket.SetLimits(now, l)
	return l
}

// Take is Bucket.Take with the limits in force.
func (a *Adaptive) Take(now time.Time, d Demand) time.Duration {
	a.enforce(now)
	return a.bucket.Take(now, d)
}

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
	s := Sample{left: now, held: a.Level(now)}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.sent = a.sent
	a.sent++
	return s
}

// Answered reports that Roam let the call through. Of max calls in flight one more is possible after a pause: what accrued in it
// then goes out in twos, fours and eights, so that few are refused should another client have spent it.
func (a *Adaptive) Answered(_ Sample, max int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ramp == 0 {
		return
	}
	if a.ramp++; a.ramp >= max {
		a.ramp = 0
	}
}

// Ended reports a call without an answer. unused: it was not sent after all.
func (a *Adaptive) Ended(_ Sample, unused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if unused {
		a.sent = max(a.sent-1, 0)
	}
}

// Refused reports a 429 at now. first: it began a pause, and is not one of several of the same moment. probe: it answered the
// first call after a pause, and says only that the pause was too short.
func (a *Adaptive) Refused(now time.Time, s Sample, first, probe bool) {
	if !first {
		return
	}
	a.mu.Lock()
	if !a.off && !probe {
		a.learned = a.learned.refused(now, a.bucket.Limits(), s.held, a.came(now, s), a.full)
	}
	if a.sent = s.sent; a.full || s.sent >= enough {
		a.since, a.sent, a.full = s.left, 0, false
	}
	a.mu.Unlock()
	a.Lower(now, 0) // whatever we believed, Roam says that nothing is left
}

// came returns how many calls a second Roam let through after it had nothing left, until it refused s. A replica does not know of
// the others' calls, and takes what the bucket believed to have come in, less what it still held. The lock is held.
func (a *Adaptive) came(now time.Time, s Sample) float64 {
	since := s.left.Sub(a.since).Seconds()
	if since <= 0 {
		return 0
	}
	if a.shared {
		return max((a.learned.Rate+a.learned.limits(now, a.bucket.Limits()).Rate)/2-s.held/since, 0)
	}
	return float64(s.sent) / since
}

// Idle reports that at now no call is queued: a full bucket loses what comes in.
func (a *Adaptive) Idle(now time.Time) {
	full := a.Level(now) > a.Limits(now).Burst-lacks
	a.mu.Lock()
	defer a.mu.Unlock()
	a.full = a.full || full
}

// Resumed reports that a pause is over.
func (a *Adaptive) Resumed(time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.off {
		a.ramp = 1
	}
}

// Slots returns how many calls may be in flight at once, of max.
func (a *Adaptive) Slots(max int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ramp > 0 {
		return min(a.ramp, max)
	}
	return max
}

// Ramps reports whether the calls in flight grow from one after a pause.
func (a *Adaptive) Ramps() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.off
}

// Reset forgets what was learned.
func (a *Adaptive) Reset() { a.SetLearned(Learned{}) }

// Switch turns learning on or off. Off, it forgets what was learned.
func (a *Adaptive) Switch(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.off = !on; a.off {
		a.learned = Learned{}
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
	if !a.off {
		a.learned = l
	}
}

// Plan returns the tokens to come, as known at now.
func (a *Adaptive) Plan(now time.Time) Plan {
	p := Plan{now: now, learned: a.Learned(), configured: a.bucket.Limits(), level: a.Level(now)}
	p.limits = p.learned.limits(now, p.configured)
	return p
}

// Plan foretells when tokens can be spent. Times are from the moment it was made. It is a value: a copy tries something out.
type Plan struct {
	now        time.Time
	learned    Learned
	configured Limits
	limits     Limits // at
	at         time.Duration
	level      float64
}

// Next spends cost tokens at a time, or as soon after it as keep tokens are left, and returns when that is. The times of
// successive calls must not decrease.
func (p *Plan) Next(at time.Duration, keep, cost float64) time.Duration {
	p.pass(p.When(at, keep, cost))
	p.level -= cost
	return p.at
}

// When returns when Next would spend them.
func (p *Plan) When(at time.Duration, keep, cost float64) time.Duration {
	at = max(at, p.at)
	level := min(p.level+p.limits.Rate*1e-9*float64(at-p.at), p.limits.Burst)
	missing := cost + keep - level - tolerance/unit
	if missing <= 0 {
		return at
	}
	return at + seconds(missing/p.limits.Rate)
}

// grows reports whether the rate grows with time, so that the plan is less exact.
func (p *Plan) grows() bool { return !p.learned.At.IsZero() }

// pass lets time pass. Tokens accrue at the rate of before, and none above the burst.
func (p *Plan) pass(at time.Duration) {
	if at <= p.at {
		return
	}
	p.level += p.limits.Rate * 1e-9 * float64(at-p.at)
	p.at = at
	if p.grows() {
		p.limits = p.learned.limits(p.now.Add(at), p.configured)
	}
	p.level = min(p.level, p.limits.Burst)
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long queue is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/8)))
}
