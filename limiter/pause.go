package limiter

import "time"

// The states of a quota, as far as Roam's refusals are concerned.
type pauseState int

const (
	open    pauseState = iota // calls go as the bucket allows
	shut                      // Roam asked for quiet; once that is over, one call may go as a probe
	probing                   // that call is under way, and all others wait for what Roam says to it
)

// pause is what a 429 does to the whole line. The generation counts pauses: a call carries the one that it left in, so that
// several refusals of the same moment are one pause, and a late success of before does not end it.
type pause struct {
	state      pauseState
	generation uint64
	shared     uint64 // the generation that the replicas who share the quota give it
	elsewhere  bool   // it is another replica's call that probes
	until      time.Time
	began      time.Time
	ended      time.Duration // sum of the pauses that are over
}

func (p *pause) begin(now time.Time, quiet time.Duration) {
	if p.state == open {
		p.began = now
	}
	p.state, p.until, p.elsewhere = shut, now.Add(quiet), false
	p.generation++
}

func (p *pause) end(now time.Time) {
	p.state, p.elsewhere = open, false
	p.ended += now.Sub(p.began)
}

// remaining is how long nothing may leave.
func (p *pause) remaining(now time.Time) time.Duration {
	if p.state != shut {
		return 0
	}
	return max(p.until.Sub(now), 0)
}

func (p *pause) total(now time.Time) time.Duration {
	if p.state == open {
		return p.ended
	}
	return p.ended + now.Sub(p.began)
}
