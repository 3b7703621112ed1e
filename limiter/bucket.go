package limiter

import (
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are how many calls may be sent in a second, and how many at once.
type Limits struct{ Rate, Burst float64 }

// Demand is what the next call asks of a Bucket.
type Demand struct {
	Margin  float64 // tokens that have to be left in the bucket
	Reserve float64 // and these, which batch tools leave to the others
	Calls   int     // calls queued, this one among them
	Weight  int     // of the tools that they belong to
}

// Bucket holds a quota's tokens. Take is called by one goroutine at a time. The others may be called at any time, and do not wait.
// What Roam's refusals show is not its affair, but that of the adaptive limit, which wraps it.
type Bucket interface {
	// Take spends one token at now and returns 0, or spends none and returns how long until it can.
	Take(now time.Time, d Demand) time.Duration
	// Return gives back a token whose call left the queue in the same moment.
	Return(now time.Time)
	// Level returns how many tokens there are at now.
	Level(now time.Time) float64
	// Limits returns what was configured for the whole quota, less the jitter's part of the burst.
	Limits() Limits
}

// unit is how many of x/time/rate's whole tokens make one call. Its burst is an integer. Ours is not, once the jitter's part is
// held back, so calls are counted in millionths.
const unit = 1_000_000

// tolerance absorbs the rounding of float64 when a level is compared with a whole call, in millionths of a call. It is what the
// slowest useful rate (one call in a quarter of an hour) brings in a nanosecond, so no call leaves early by a tick of the clock.
const tolerance = 1e-6

// Local is the Bucket of one process: arithmetic by x/time/rate, asked only at the moment of dispatch, always with an explicit now.
type Local struct {
	mu      sync.Mutex    // guards the following, and the level, which x/time/rate reads and spends in two calls
	limiter *rate.Limiter // at limits
	limits  Limits
	last    time.Time // the latest now that was used: a clock that goes back must not earn twice
}

var _ Bucket = (*Local)(nil)

// NewLocal returns a full bucket of perSecond calls a second and burst calls at once.
//
// jitter is how far the network may push two calls together. Of two calls that left J apart the later can overtake that much of
// the way, so Roam sees up to rate × J more calls in a moment than were sent in it. Holding back that part of the burst is enough:
// a call that arrives up to J early needs tokens that are refilled J later. It costs nothing of the rate. The error reports a
// rate, burst or jitter that leaves less than one call.
func NewLocal(perSecond, burst float64, jitter time.Duration) (*Local, error) {
	l, err := NewLimits(perSecond, burst, jitter)
	if err != nil {
		return nil, err
	}
	return &Local{limiter: rate.NewLimiter(rate.Limit(perSecond*unit), parts(l.Burst)), limits: l}, nil
}

// NewLimits returns the rate, and the burst less the jitter's part, in whole millionths of a call.
func NewLimits(perSecond, burst float64, jitter time.Duration) (Limits, error) {
	left := burst - perSecond*jitter.Seconds()
	switch {
	case !(perSecond > 0) || math.IsInf(perSecond, 0):
		return Limits{}, fmt.Errorf("limiter: rate: want above 0 calls a second, got %v", perSecond)
	case jitter < 0:
		return Limits{}, fmt.Errorf("limiter: jitter: want 0 or more, got %v", jitter)
	case !(left >= 1) || left > math.MaxInt32:
		return Limits{}, fmt.Errorf("limiter: burst %v with %v of jitter at %v calls a second leaves %v calls, want at least 1",
			burst, jitter, perSecond, left)
	}
	return Limits{perSecond, float64(parts(left)) / unit}, nil
}

func parts(calls float64) int { return int(math.Floor(calls*unit + tolerance)) }

// Reconfigure changes what NewLocal was given and keeps the level, or what the new burst leaves of it: a quota that is described
// anew has not been refilled. An error changes nothing.
func (l *Local) Reconfigure(perSecond, burst float64, jitter time.Duration) error {
	limits, err := NewLimits(perSecond, burst, jitter)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.forward(time.Now())
	l.limiter.SetLimitAt(now, rate.Limit(perSecond*unit))
	l.limiter.SetBurstAt(now, parts(limits.Burst))
	l.limits = limits
	return nil
}

// Take spends a token if there is one beside those that d leaves.
func (l *Local) Take(now time.Time, d Demand) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.forward(now)
	missing := unit*(1+d.Margin+d.Reserve) - l.limiter.TokensAt(now)
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

// Restore sets the level at now, for instance to what a state file says, between 0 and the burst.
func (l *Local) Restore(now time.Time, level float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(l.forward(now), level*unit)
}

// Level returns how many calls could be sent at now.
func (l *Local) Level(now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.limiter.TokensAt(l.forward(now))/unit, 0)
}

// Limits returns what NewLocal or Reconfigure was given, less the jitter's part.
func (l *Local) Limits() Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits
}

// forward keeps time from going back.
func (l *Local) forward(now time.Time) time.Time {
	if now.Before(l.last) {
		return l.last
	}
	l.last = now
	return now
}

// set makes the level tokens at now. A new limiter is full, and spending from it is the only way x/time/rate has to say less.
// Fractions of a millionth are rounded down.
func (l *Local) set(now time.Time, tokens float64) {
	burst := l.limiter.Burst()
	l.limiter = rate.NewLimiter(l.limiter.Limit(), burst)
	l.limiter.AllowN(now, burst-int(min(max(tokens, 0), float64(burst))))
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long queue is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/8)))
}
