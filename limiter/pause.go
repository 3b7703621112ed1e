package limiter

import "time"

// PauseState says what a quota's calls may do, as far as Roam's refusals are concerned.
type PauseState string

// The states of a pause. They are the words that the script in Redis uses too.
const (
	PauseOpen    PauseState = "open"    // calls go as the bucket allows
	PauseShut    PauseState = "shut"    // Roam answered 429; when the pause is over, one call is sent as the probe
	PauseProbing PauseState = "probing" // the probe is in flight, and all others wait for its answer
)

// pause is what a 429 does to the whole queue. The generation counts pauses. A call carries the one that it left in, so that
// several refusals of one moment are one pause, and a late success from before does not end it.
type pause struct {
	state      PauseState
	generation uint64
	shared     uint64 // the generation that the replicas give it
	elsewhere  bool   // another replica's call is the probe
	until      time.Time
	began      time.Time
	ended      time.Duration // sum of the pauses that are over
	byHand     time.Time     // until then an operator wants no call to leave
}

// leastPause is what a 429 costs that says "now" (Retry-After: 0, or a date that has passed): it was a refusal all the same,
// and the quota's smallest natural step is the second.
const leastPause = time.Second

func (p *pause) begin(now time.Time, d time.Duration) {
	if p.state == PauseOpen {
		p.began = now
	}
	p.state, p.until, p.elsewhere = PauseShut, now.Add(d), false
	p.generation++
}

func (p *pause) end(now time.Time) {
	p.state, p.elsewhere = PauseOpen, false
	p.ended += now.Sub(p.began)
}

// remaining returns how long Roam's pause lasts.
func (p *pause) remaining(now time.Time) time.Duration {
	if p.state != PauseShut {
		return 0
	}
	return max(p.until.Sub(now), 0)
}

func (p *pause) total(now time.Time) time.Duration {
	if p.state == PauseOpen {
		return p.ended
	}
	return p.ended + now.Sub(p.began)
}

// heldFor returns how long a pause by hand lasts.
func (p *pause) heldFor(now time.Time) time.Duration { return max(p.byHand.Sub(now), 0) }

// lasts returns how long no call may be dispatched, because of Roam's pause or one by hand.
func (p *pause) lasts(now time.Time) time.Duration { return max(p.remaining(now), p.heldFor(now)) }

// isOpen reports whether a call other than the probe may be dispatched.
func (p *pause) isOpen(now time.Time) bool { return p.state == PauseOpen && p.heldFor(now) == 0 }
