package limiter

import (
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bucket holds a quota's tokens. A Queue asks it for tokens from one goroutine at a time. All others may be called at any time,
// and must not wait for anything.
type Bucket interface {
	// Take spends one token at now and returns 0, or spends nothing and returns how long until there will be one.
	Take(now time.Time) time.Duration
	// Return gives back a token whose call left the line in the same moment.
	Return(now time.Time)
	// Drain empties the bucket: Roam says that there is nothing left.
	Drain(now time.Time)
	// Level is how many tokens there are at now, at most the burst.
	Level(now time.Time) float64
	// Limits are in force at now: what is paid for, or what was learned to be left of it.
	Limits(now time.Time) Limits
	// Paid is what was configured, with the jitter's share taken off the burst: what limits are when nothing is learned.
	Paid() Limits
	// Learned is what refusals have taught, and Learn replaces it. Whoever shares the tokens shares this too.
	Learned() Learned
	Learn(Learned)
}

// unit is how many of x/time/rate's whole tokens make one call. Its burst is an integer, ours is not once the jitter's share
// is held back, so we count in millionths of a call.
const unit = 1_000_000

// tolerance absorbs the rounding of float64 when a level is compared with a whole call, in millionths of a call. It is what
// the slowest rate worth configuring (one call in a quarter of an hour) brings in a nanosecond, so no call leaves early by a
// tick of the clock.
const tolerance = 1e-6

// Local is the Bucket of one process: arithmetic by x/time/rate, asked only at the moment of dispatch and always with an
// explicit now. Nobody ever waits inside it.
type Local struct {
	mu      sync.Mutex    // guards the following, and the level, which x/time/rate reads and spends in two calls
	limiter *rate.Limiter // at the limits in force
	paid    Limits
	learned Learned
	last    time.Time // the latest now that was used: a clock that goes back must not earn twice
}

var _ Bucket = (*Local)(nil)

// NewLocal makes a full bucket of perSecond calls a second and burst calls at once.
//
// jitter is how far the network may push two calls together: of two calls that left J apart from each other the later can
// overtake that much of the way, so Roam sees up to rate × J more calls in a moment than were sent in it. Holding back that
// share of the burst is enough, because a call that arrives up to J early needs tokens that will be refilled J later, and
// costs nothing of the rate, because the refill is untouched. It is an error when less than one whole call would remain.
func NewLocal(perSecond, burst float64, jitter time.Duration) (*Local, error) {
	whole, err := atOnce(perSecond, burst, jitter)
	if err != nil {
		return nil, err
	}
	return &Local{limiter: rate.NewLimiter(rate.Limit(perSecond*unit), whole), paid: Limits{perSecond, float64(whole) / unit}}, nil
}

// Reconfigure changes what NewLocal was given and keeps the level, or what the new burst leaves of it, and what was learned: a
// quota that is described anew has not been refilled. After an error nothing has changed. It may be called while a Queue uses the bucket;
// Queue.Reconfigure then makes the line look at the new limits at once.
func (l *Local) Reconfigure(perSecond, burst float64, jitter time.Duration) error {
	whole, err := atOnce(perSecond, burst, jitter)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.forward(time.Now())
	l.paid = Limits{perSecond, float64(whole) / unit}
	l.enforce(now)
	return nil
}

// atOnce is the burst less the jitter's share, in millionths of a call.
func atOnce(perSecond, burst float64, jitter time.Duration) (int, error) {
	left := burst - perSecond*jitter.Seconds()
	switch {
	case !(perSecond > 0) || math.IsInf(perSecond, 0):
		return 0, fmt.Errorf("limiter: rate: want above 0 calls a second, got %v", perSecond)
	case jitter < 0:
		return 0, fmt.Errorf("limiter: jitter: want 0 or more, got %v", jitter)
	case !(left >= 1) || left > math.MaxInt32:
		return 0, fmt.Errorf("limiter: burst %v with %v of jitter at %v calls a second leaves %v calls, want at least 1", burst, jitter, perSecond, left)
	}
	return int(math.Floor(left*unit + tolerance)), nil
}

// Take spends a token at now if there is one.
func (l *Local) Take(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.forward(now)
	missing := unit - l.limiter.TokensAt(now)
	if missing <= tolerance {
		l.limiter.AllowN(now, unit)
		return 0
	}
	// Rounded up: a nanosecond early is a 429.
	return max(time.Duration(math.Ceil(missing*float64(time.Second)/float64(l.limiter.Limit()))), 1)
}

// Return puts one token back.
func (l *Local) Return(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.forward(now)
	l.set(now, l.limiter.TokensAt(now)+unit)
}

// Drain empties the bucket at now.
func (l *Local) Drain(now time.Time) { l.Restore(now, 0) }

// Restore sets the level at now, for instance to what a state file says, between 0 and the burst.
func (l *Local) Restore(now time.Time, level float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(l.forward(now), level*unit)
}

// Level is how many calls could go at now.
func (l *Local) Level(now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.limiter.TokensAt(l.forward(now))/unit, 0)
}

// Limits are in force at now.
func (l *Local) Limits(now time.Time) Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.learned.limits(now, l.paid)
}

// Paid is what NewLocal or Reconfigure was given, less the jitter's share.
func (l *Local) Paid() Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paid
}

// Learned is what Learn was given last.
func (l *Local) Learned() Learned {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.learned
}

// Learn puts what was learned in force from its own moment on.
func (l *Local) Learn(learned Learned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learned = learned
	l.enforce(l.last)
}

// forward keeps time from going back, and the limits at what is in force.
func (l *Local) forward(now time.Time) time.Time {
	if now.Before(l.last) {
		return l.last
	}
	if !l.learned.At.IsZero() {
		l.enforce(now)
	}
	l.last = now
	return now
}

// enforce brings the limiter to the limits of now. What accrued before did so at the rate of the last time that it was asked, and up
// to the burst of now: a learned burst grows more slowly than a bucket fills, so one that nobody asked has kept up with it.
func (l *Local) enforce(now time.Time) {
	is := l.learned.limits(now, l.paid)
	if burst := int(math.Floor(is.Burst*unit + tolerance)); burst != l.limiter.Burst() {
		l.limiter.SetBurstAt(l.last, burst)
	}
	if limit := rate.Limit(is.Rate * unit); limit != l.limiter.Limit() {
		l.limiter.SetLimitAt(now, limit)
	}
}

// set makes the level tokens at now. A new limiter is full; spending from it is the only way x/time/rate has to say less.
// Fractions of a millionth are rounded down.
func (l *Local) set(now time.Time, tokens float64) {
	burst := l.limiter.Burst()
	l.limiter = rate.NewLimiter(l.limiter.Limit(), burst)
	l.limiter.AllowN(now, burst-int(min(max(tokens, 0), float64(burst))))
}
