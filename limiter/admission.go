package limiter

import (
	"math"
	"time"
)

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
	return s.forecastWithout(now).latest(s.calls.Len()) <= longest || s.waitUpTo(now, c, longest) <= longest
}

func (s *state) isFull(t Tool) bool {
	return s.calls.Len() >= s.MaxQueue || t.MaxQueue > 0 && s.calls.FlowLen(t.flow().Name) >= t.MaxQueue
}

// wait returns how long a call like c will wait that comes at now.
func (s *state) wait(now time.Time, c *call) time.Duration { return s.waitUpTo(now, c, never) }

// waitUpTo is wait where that is at most most, and more than most otherwise.
func (s *state) waitUpTo(now time.Time, c *call, most time.Duration) time.Duration {
	f, a := s.forecast(now), arrival{tool: c.tool, rank: s.rank(now, c.urgency)}
	a.tool.MaxQueue = 0 // it is queued in any case
	f.most = most
	return f.arrive(a, s.calls.Len()+1, nil).leaves
}

// refusal returns why a call like c is not admitted at now, and after how long it would be.
func (s *state) refusal(now time.Time, c *call, longest, waited time.Duration) *Refusal {
	r := &Refusal{Reason: ErrWaitTooLong, RetryAfter: s.retryAfter(now, c, longest)}
	s.promises.add(promise{c.tool, now.Add(wholeSeconds(r.RetryAfter)), now, longest})
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

// farAhead is how many calls are dispatched in a forecast for Retry-After at most. Where it is later than that, a bound will do.
const farAhead = 1000

// retryAfter returns after how long a call like c would be admitted and dispatched in time, if no others come than those that were
// promised a time. The later it comes, the later it is dispatched. So a call that is dispatched at some moment by coming now need
// not come sooner than its longest wait before that, nor before those of its tool that were promised a time. From there the forecast is
// made again, for a caller that is late. In the end the queue is empty. In a pause it is the end of the pause at least; a tool that has
// no other call need not come later either.
func (s *state) retryAfter(now time.Time, c *call, longest time.Duration) time.Duration {
	margin := s.forecastWithout(now).rough // the wait may look a little longer then than it does now
	pause, spacing := s.pause.lasts(now), s.latest.spacing()
	others, last := s.promises.arrivals(now, pause), s.promises.last(now, c.tool)
	p := placement{own: s.calls.FlowLen(c.tool.FlowName())}
	short := longest <= punctual+spacing
	if !short || s.isFull(c.tool) {
		p = s.place(now, c, 0, others)
	}
	if p.own == 0 && last < pause {
		return max(margin+p.enters, pause)
	}
	if short {
		return s.opening(now, c, others, last, longest)
	}
	after := max(margin+max(p.enters, p.leaves-longest, s.pause.remaining(now)), last)
	if p.leaves > farAhead*spacing {
		return max(after, margin+s.forecastWithout(now).latest(s.calls.Len()+len(others))-longest+punctual)
	}
	if len(others) > 0 {
		margin += spacing // one of the others may come in the same moment
		if p.enters == 0 {
			after = max(after, min(others[len(others)-1].at, after+horizon))
		}
	}
	for range rounds {
		comes := after + punctual
		p = s.place(now, c, comes, others)
		earliest := max(p.enters-punctual, margin+p.leaves-longest)
		if earliest <= after {
			return after
		}
		after = earliest
	}
	return max(after, margin+s.forecast(now).nth(s.calls.Len()))
}

// lastOfFlow is the rank of a call that comes later. However urgent, it is no reason to refuse one that was promised a time before it.
const lastOfFlow = math.MaxInt64

// place returns where a call like c is placed that comes at a time, if the others come.
func (s *state) place(now time.Time, c *call, at time.Duration, others []arrival) placement {
	f := s.forecast(now)
	f.most = at + farAhead*f.spacing()
	return f.arrive(arrival{c.tool, lastOfFlow, at}, s.MaxQueue, others)
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
