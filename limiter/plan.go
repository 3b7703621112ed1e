package limiter

import (
	"math"
	"slices"
	"time"
)

// Plan returns the tokens to come, as known at now.
func (a *Adaptive) Plan(now time.Time) Plan {
	level := a.Level(now)
	p := Plan{
		learned: a.learned, configured: a.bucket.Limits(), limits: a.learned.limits(now, a.bucket.Limits()),
		now: now, held: a.learned.holds(now), level: level, carryover: a.carryover(),
	}
	if p.guards = a.guards(now); p.guards {
		p.guard.times = slices.Clone(a.guard.times)
	}
	return p
}

// Plan foretells when tokens can be spent. Times are from the moment it was made.
type Plan struct {
	learned    AdaptState
	configured Limits
	limits     Limits // at
	now        time.Time
	at         time.Duration
	held       time.Duration // the end of the hold; 0: it is over
	level      float64
	carryover  float64 // of the pause
	guard      guard
	guards     bool // the guard is in force
}

// Spend spends cost tokens at a time, which is not before When. The times of successive calls must not decrease.
func (p *Plan) Spend(at time.Duration, cost float64) {
	p.pass(at)
	p.level -= cost
	if p.guards {
		p.guard.sent(p.now.Add(at), p.configured.calls())
	}
}

// When returns when cost tokens can be spent at a time, or as soon after it as keep tokens are left.
func (p *Plan) When(at time.Duration, keep, cost float64) time.Duration {
	at = max(at, p.at)
	if p.guards {
		at = max(at, p.guard.free(p.learned, p.configured).Sub(p.now))
	}
	later := *p
	later.pass(at)
	missing := cost + keep - later.level - tolerance/unit
	if missing <= 0 {
		return at
	}
	there := at + seconds(missing/later.limits.Rate)
	if at < p.held && p.held < there {
		return later.When(p.held, keep, cost)
	}
	return there
}

// guarded returns how many calls the guard counts; 0: it is not in force.
func (p *Plan) guarded() int {
	if p.guards {
		return p.configured.calls()
	}
	return 0
}

// Resumed tells the plan that a pause will be over at a time.
func (p *Plan) Resumed(at time.Duration) {
	p.pass(at)
	p.level = min(p.level, p.carryover)
}

// pass lets time pass. Tokens accrue at the rate of before, and none above the burst.
func (p *Plan) pass(at time.Duration) {
	if at <= p.at {
		return
	}
	if p.at < p.held && p.held < at {
		p.pass(p.held)
	}
	p.level += p.limits.Rate * 1e-9 * float64(at-p.at)
	p.at = at
	if p.limits != p.configured {
		p.limits = p.learned.limits(p.now.Add(at), p.configured)
	}
	p.level = min(p.level, p.limits.Burst)
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long queue is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/8)))
}
