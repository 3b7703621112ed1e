package limiter

import "time"

// State is what is true of a queue at one moment.
type State struct {
	Tokens             float64
	Rate, Burst        float64 // in force
	Paid               Limits  // as configured, with the jitter's share taken off the burst
	Paused             bool
	PausedFor          time.Duration  // until the next call may be tried; 0 when not paused
	PauseTotal         time.Duration  // spent in pauses since the start
	Waiting            map[string]int // by tool, only those with calls
	Oldest             time.Duration  // how long the call that came first has waited
	Capacity, InFlight int
	Shared             bool          // with other replicas
	Replicas           int           // who were heard lately, this one among them; 0 while it goes on alone
	Jitter             time.Duration // by how much the time to the first byte of the latest answers varies; the network itself varies by no more
}

// State reports what is true now. It costs time in proportion to the tools that wait.
func (q *Queue) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	is := q.bucket.Limits(now)
	s := State{Tokens: q.bucket.Level(now), Rate: is.Rate, Burst: is.Burst, Paid: q.bucket.Paid(), Waiting: make(map[string]int)}
	if b, ok := q.bucket.(sharer); ok {
		s.Shared, s.Replicas = true, b.replicas()
	}
	s.Paused, s.PausedFor, s.PauseTotal = q.pause.state != open, q.pause.remaining(now), q.pause.total(now)
	s.Jitter = q.spread.width()
	s.Capacity, s.InFlight = q.options.MaxQueue, len(q.taken)
	for name, f := range q.line.lanes {
		if f.calls.Len() > 0 {
			s.Waiting[name] = f.calls.Len()
		}
	}
	if q.arrivals.Len() > 0 {
		s.Oldest = now.Sub(q.arrivals.first().arrived)
	}
	return s
}
