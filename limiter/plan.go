package limiter

import (
	"math"
	"time"
)

// Plan returns the tokens to come, as known at now.
func (a *Adaptive) Plan(now time.Time) Plan {
	level := a.Level(now)
	a.mu.Lock()
	defer a.mu.Unlock()
	p := Plan{
		learned: a.learned, age: now.Sub(a.learned.At).Seconds(),
		configured: a.bucket.Limits(), limits: a.limits(now), level: level, carryover: a.carryover(),
	}
	p.times = make([]time.Duration, a.guarded(p.limits))
	for _, t := range a.times[max(len(a.times)-len(p.times), 0):] {
		p.left(t.Sub(now))
	}
	return p
}

// Plan foretells when tokens can be spent. Times are from the moment it was made.
type Plan struct {
	learned    Learned
	age        float64 // of what was learned, in seconds
	configured Limits
	limits     Limits // at
	at         time.Duration
	level      float64
	carryover  carryover       // of the pause
	times      []time.Duration // when the last calls left, a ring of as many as the guard allows; empty: it is not in force
	next       int             // in times, the oldest where it is full
	full       bool
}

// Spend spends cost tokens at a time, which is not before When. The times of successive calls must not decrease.
func (p *Plan) Spend(at time.Duration, cost float64) {
	p.pass(at)
	p.level -= cost
	p.left(at)
}

// left notes that a call left at a time.
func (p *Plan) left(at time.Duration) {
	if len(p.times) == 0 {
		return
	}
	p.times[p.next] = at
	if p.next++; p.next == len(p.times) {
		p.next, p.full = 0, true
	}
}

// When returns when cost tokens can be spent at a time, or as soon after it as keep tokens are left.
func (p *Plan) When(at time.Duration, keep, cost float64) time.Duration {
	at = max(at, p.at)
	if p.full && p.limits != p.configured {
		at = max(at, p.times[p.next]+seconds(float64(len(p.times))/p.limits.Rate))
	}
	level := min(p.level+p.limits.Rate*1e-9*float64(at-p.at), p.limits.Burst)
	missing := cost + keep - level - tolerance/unit
	if missing <= 0 {
		return at
	}
	return at + seconds(missing/p.limits.Rate)
}

// Resumed tells the plan that a pause will be over at a time.
func (p *Plan) Resumed(at time.Duration) {
	p.pass(at)
	p.level = min(p.level, p.carryover.tokens(p.limits))
}

// grows reports whether the rate grows with time.
func (p *Plan) grows() bool { return !p.learned.At.IsZero() }

// pass lets time pass. Tokens accrue at the rate of before, and none above the burst.
func (p *Plan) pass(at time.Duration) {
	if at <= p.at {
		return
	}
	p.level += p.limits.Rate * 1e-9 * float64(at-p.at)
	p.at = at
	if p.grows() && p.limits != p.configured {
		p.limits = p.learned.after(max(p.age+1e-9*float64(at), 0), p.configured)
	}
	p.level = min(p.level, p.limits.Burst)
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long queue is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/8)))
}
