package limiter

import "time"

// Limits returns what is in force at now.
func (a *adaptive) Limits(now time.Time) Limits { return a.learned.Limits(now, a.bucket.Limits()) }

// Level returns how many tokens there are at now.
func (a *adaptive) Level(now time.Time) float64 {
	a.accrue(now)
	return min(a.level, a.bucket.Level(now))
}

// Lower removes tokens until there are no more than level.
func (a *adaptive) Lower(now time.Time, level float64) {
	a.accrue(now)
	a.level = min(a.level, level)
}

// accrue adds the tokens that came in until now.
func (a *adaptive) accrue(now time.Time) {
	earned := a.learned.tokens(a.updated, now, a.bucket.Limits())
	a.level, a.updated = min(a.level+earned, a.Limits(now).Burst), now
	if a.shared && !a.paused {
		a.meter.calls += earned
	}
}

// plan returns the tokens to come, as known at now.
func (a *adaptive) plan(now time.Time) plan {
	p := a.ownPlan(now)
	p.level = min(p.level, a.bucket.Level(now))
	return p
}

// Wait returns how long it is until the next call may ask the Bucket for a token.
func (a *adaptive) Wait(now time.Time, d Demand) time.Duration {
	p := a.ownPlan(now)
	return p.When(0, d.Margin+d.Reserve, 1)
}

// ownPlan is plan without the Bucket's own level.
func (a *adaptive) ownPlan(now time.Time) plan {
	a.accrue(now)
	p := plan{
		learned: a.learned, now: now, configured: a.bucket.Limits(), limits: a.Limits(now),
		held: a.learned.Holds(now), level: a.level, carryover: a.carryover(),
	}
	// The guard is in force until the burst is whole, but not where replicas share the bucket: they do not know of each other's calls.
	if !a.shared {
		p.whole = a.learned.partial(now, p.configured)
	}
	if p.whole > 0 {
		p.calls, p.span = p.configured.calls(), p.configured.span()
		p.times = make([]time.Duration, 0, p.calls)
		for _, t := range a.guard.times[max(len(a.guard.times)-p.calls, 0):] {
			p.sent(t.Sub(now))
		}
	}
	return p
}

// plan is a forecast of when tokens can be spent. Times are from the moment it was made.
type plan struct {
	learned    AdaptState
	now        time.Time // the moment it was made
	configured Limits
	limits     Limits // at
	at         time.Duration
	held       time.Duration // the end of the hold; 0: it is over
	whole      time.Duration // the end of the guard; 0: it is not in force
	level      float64
	carryover  float64         // of the pause
	calls      int             // that the guard counts
	span       time.Duration   // in this time
	times      []time.Duration // when the last of them were sent, a ring
	next       int             // in times, where it is full: the first of them
}

// sent notes a call that was sent at a time.
func (p *plan) sent(at time.Duration) {
	if len(p.times) < p.calls {
		p.times = append(p.times, at)
		return
	}
	p.times[p.next] = at
	if p.next++; p.next == p.calls {
		p.next = 0
	}
}

// Spend spends cost tokens at a time, which is not before When. The times of successive calls must not decrease.
func (p *plan) Spend(at time.Duration, cost float64) {
	p.pass(at)
	p.level -= cost
	if at < p.whole {
		p.sent(at)
	}
}

// When returns when cost tokens can be spent at a time, or as soon after it as keep tokens are left.
func (p *plan) When(at time.Duration, keep, cost float64) time.Duration {
	at = max(at, p.at)
	if at < p.whole && len(p.times) == p.calls {
		at = max(at, min(p.times[p.next]+p.span, p.whole))
	}
	when := at
	level := min(p.level+p.limits.Rate*1e-9*float64(at-p.at), p.limits.Burst)
	if missing := cost + keep - level - tolerance/unit; missing > 0 {
		when += seconds(missing / p.limits.Rate)
	}
	if p.at < p.held && p.held <= when { // at another rate from there on
		later := *p
		later.pass(p.held)
		return later.When(max(at, p.held), keep, cost)
	}
	return when
}

// Resumed notes that a pause will be over at a time.
func (p *plan) Resumed(at time.Duration) {
	p.pass(at)
	p.level = min(p.level, p.carryover)
}

// pass lets time pass. Tokens accrue at the rate of before, and none above the burst.
func (p *plan) pass(at time.Duration) {
	if at <= p.at {
		return
	}
	if p.at < p.held && p.held < at {
		p.pass(p.held)
	}
	p.level += p.limits.Rate * 1e-9 * float64(at-p.at)
	p.at = at
	if p.limits != p.configured {
		p.limits = p.learned.Limits(p.now.Add(at), p.configured)
	}
	p.level = min(p.level, p.limits.Burst)
}
