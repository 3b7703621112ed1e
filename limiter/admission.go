package limiter

import "time"

// admit refuses a call that came at now when the queue has no place for it or is closed, or when it would be dispatched too late.
func (s *state) admit(now time.Time, c *call) *Refusal {
	if s.closed {
		return s.closedRefusal(now)
	}
	s.promises.keep(now, c.tool.flow().Name)
	if !s.isFull(c.tool) && s.leavesWithin(now, c, c.longest) {
		return nil
	}
	return s.refusal(now, c, c.longest, 0)
}

// leavesWithin reports whether a call like c that comes at now is dispatched within longest. Where even the last of all would be, there is
// no need to dispatch a copy of the queue: with thousands of calls queued that takes a millisecond.
func (s *state) leavesWithin(now time.Time, c *call, longest time.Duration) bool {
	return s.forecastWithout(now).latest(s.calls.Len()) <= longest || s.wait(now, c) <= longest
}

func (s *state) isFull(t Tool) bool {
	return s.calls.Len() >= s.MaxQueue || t.MaxQueue > 0 && s.calls.FlowLen(t.flow().Name) >= t.MaxQueue
}

// wait returns how long a call like c will wait that comes at now.
func (s *state) wait(now time.Time, c *call) time.Duration {
	a := arrival{tool: c.tool, rank: s.rank(now, c.urgency)}
	a.tool.MaxQueue = 0 // it is queued in any case
	return s.forecast(now).arrive(a, s.calls.Len()+1, nil).leaves
}

// refusal returns why a call like c is not admitted at now, and after how long it would be.
func (s *state) refusal(now time.Time, c *call, longest, waited time.Duration) *Refusal {
	r := &Refusal{Reason: ErrWaitTooLong, RetryAfter: s.retryAfter(now, c, longest)}
	s.promises.add(promise{c.tool, c.urgency, now.Add(r.RetryAfter.Truncate(time.Second) + time.Second), now}) // in whole seconds
	switch {
	case s.isFull(c.tool):
		r.Reason = ErrQueueFull
	case s.pause.lasts(now) > longest, waited > 0 && !s.pause.isOpen(now):
		r.Reason = ErrPaused
	}
	return r
}

// punctual is how late a caller may be that comes back after Retry-After: up to a second, because that is rounded up to whole ones,
// and as long again for its way here.
const punctual = 2 * time.Second

// rounds bounds how many moments retryAfter tries. Two are enough where a tool waits for its own calls. The others are for one that
// finds a call of each other tool before it at every moment.
const rounds = 8

// retryAfter returns after how long a call like c would be admitted and dispatched in time, if no others come than those that were
// promised a time. The later it comes, the later it is dispatched. So a call that is dispatched at some moment by coming now need
// not come sooner than its longest wait before that. From there the forecast is made again, for a caller that is late. In the end
// the queue is empty. That is also the answer for a caller that waits for less than it may be late. In a pause it is the end of the
// pause at least; a tool that has no other call need not come later either.
func (s *state) retryAfter(now time.Time, c *call, longest time.Duration) time.Duration {
	margin := s.forecastWithout(now).rough // the wait may look a little longer then than it does now
	others := s.promises.arrivals(now, s.rank)
	p := s.place(now, c, 0, s.promises.last(now, c.tool), others)
	if pause := s.pause.lasts(now); pause > 0 && p.own == 0 {
		return max(margin+p.enters, pause)
	}
	after := margin + max(p.enters, p.leaves-longest, s.pause.remaining(now))
	for n := 0; n < rounds && longest > punctual; n++ {
		comes := after + punctual
		p = s.place(now, c, comes, comes, others)
		earliest := max(p.enters-punctual, margin+p.leaves-longest)
		if earliest <= after {
			return after
		}
		after = earliest
	}
	return max(after, margin+s.forecast(now).nth(s.calls.Len()))
}

// place returns where a call like c is placed that comes at a time, with the rank of another, whether the others come or not. Usually it
// leaves later if they do. But a less urgent one of its own tool may leave it the place in which that tool waited for longer.
func (s *state) place(now time.Time, c *call, at, rankAt time.Duration, others []arrival) placement {
	a := arrival{c.tool, s.rank(now.Add(rankAt), c.urgency), at}
	p := s.forecast(now).arrive(a, s.MaxQueue, others)
	if len(others) > 0 {
		alone := s.forecast(now).arrive(a, s.MaxQueue, nil)
		p.enters, p.leaves = max(p.enters, alone.enters), max(p.leaves, alone.leaves)
	}
	return p
}

// keepsForCalls is how many tokens a background call leaves in the bucket: a call that comes in the next moment is dispatched at once.
// A bucket that never holds as much must be full.
const keepsForCalls = 1

// isIdle reports whether a background call may ask for a token.
func (s *state) isIdle(now time.Time) bool {
	return s.calls.Len() == 0 && len(s.inFlight) < s.slots.of(s.MaxInFlight) && s.pause.isOpen(now)
}

// refresh has the dispatcher ask for the token of a background call, or returns why that gets no permit.
func (s *state) refresh(now time.Time, caller Caller) (*call, *Refusal) {
	switch {
	case s.closed:
		return nil, s.closedRefusal(now)
	case !s.isIdle(now) || s.bucket.Level(now)-s.margin(now)+tolerance/unit < min(1+keepsForCalls, s.bucket.Limits(now).Burst):
		return nil, s.refuseRefresh(now)
	}
	c := s.newCall(now, caller)
	s.refreshes = append(s.refreshes, c)
	s.wake()
	return c, nil
}

func (s *state) refuseRefresh(now time.Time) *Refusal {
	r := &Refusal{Reason: ErrBusy, RetryAfter: s.forecast(now).nth(s.calls.Len() + keepsForCalls)}
	if !s.pause.isOpen(now) {
		r.Reason = ErrPaused
	}
	return r
}
