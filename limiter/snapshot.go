package limiter

import "time"

// State is the state of a queue at one moment.
type State struct {
	Tokens             float64
	Rate, Burst        float64 // in force
	Configured         Limits  // as configured, with the jitter's share taken off the burst
	Paused             bool
	PausedFor          time.Duration  // until the next call may be tried; 0 when not paused
	PauseTotal         time.Duration  // spent in pauses since the start
	HeldFor            time.Duration  // until a pause by hand ends, which is not counted above; 0: there is none
	Waiting            map[string]int // by tool, only those with calls
	Oldest             time.Duration  // how long the call that came first has waited
	Capacity, InFlight int
	Shared             bool          // with other replicas
	Replicas           int           // that have a session, this one among them; 0 while it goes on alone
	Jitter             time.Duration // how far the times to the first byte of the latest responses are apart: the network's at most
}

// State returns the present state. It takes time in proportion to the queued calls.
func (q *Queue) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state.snapshot(q.now())
}

// Idle reports whether a call would be sent at once with a token left for the next one, and whether the queue is paused. It takes the same
// time whatever is queued.
func (q *Queue) Idle() (idle, paused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	is := q.state.snapshotWithout(q.now())
	return !is.Paused && q.state.calls.Len() == 0 && is.Tokens >= min(1+keepsForCalls, is.Burst), is.Paused
}

func (s *state) snapshot(now time.Time) State {
	is := s.snapshotWithout(now)
	is.Waiting = make(map[string]int)
	for _, c := range s.deadlines {
		is.Waiting[c.tool.Name]++
		is.Oldest = max(is.Oldest, now.Sub(c.arrived))
	}
	return is
}

// snapshotWithout returns the state without the queued calls.
func (s *state) snapshotWithout(now time.Time) State {
	limits, configured, part := s.bucket.Limits(now), s.bucket.bucket.Limits(), s.part()
	is := State{
		Tokens: max(s.bucket.Level(now)-s.margin(now), 0), Rate: s.bucket.learned.believed(now, configured), Burst: limits.Burst,
		Configured: configured,
		Paused:     s.pause.state != PauseOpen, PausedFor: s.pause.remaining(now), PauseTotal: s.pause.total(now), HeldFor: s.pause.heldFor(now),
		Jitter: s.delays.width(), Capacity: s.MaxQueue, InFlight: len(s.inFlight),
		Shared: s.sharing != nil, Replicas: part.Replicas,
	}
	if is.Shared && part.Replicas == 0 { // alone it has its share
		is.Rate, is.Configured.Rate = is.Rate*part.Rate, is.Configured.Rate*part.Rate
		is.Burst, is.Configured.Burst = min(is.Burst, part.Burst), part.Burst
	}
	return is
}

// believed returns the rate that seems to be left at now. A trial shows nothing until it has lasted for a minute.
func (s AdaptState) believed(now time.Time, configured Limits) float64 {
	return min(s.Limits(now.Add(-overload), configured).Rate, s.Limits(now, configured).Rate)
}

// Forecast returns how many calls like caller's would be dispatched immediately, and how long the next one would wait.
func (q *Queue) Forecast(caller Caller) (calls int, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, now := &q.state, q.now()
	c := s.newCall(now, caller)
	if wait := s.wait(now, c); wait > 0 {
		return 0, wait
	}
	f, a := s.forecast(now), arrival{tool: c.tool, rank: s.rank(now, c.urgency)}
	for a.tool.MaxQueue = 0; calls < 10_000; calls++ { // a header needs no more
		if wait = f.arrive(a, s.MaxQueue+calls+1, nil).leaves; wait > 0 {
			break
		}
	}
	return calls, wait
}
