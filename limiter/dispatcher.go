package limiter

import (
	"container/heap"
	"time"
)

// idleSleep is how long the dispatcher sleeps when no time is known at which it should look again. Any bound would do.
const idleSleep = time.Hour

// dispatch is the one goroutine that gives permits. It has one timer, for what comes first: a token, the end of a pause or a deadline.
// Everything else that could matter wakes it.
func (q *Queue) dispatch() {
	defer close(q.stopped)
	timer := time.NewTimer(idleSleep)
	defer timer.Stop()
	for {
		timer.Reset(q.advance())
		select {
		case <-timer.C:
		case <-q.wake:
		case <-q.stop:
			return
		}
	}
}

// advance gives every permit that it can, and returns how long until something could change by itself.
func (q *Queue) advance() time.Duration {
	for {
		q.mu.Lock()
		now := q.now()
		q.state.resumed(now)
		q.replace(now)
		next := q.state.next(now)
		bucket := q.state.bucket.bucket
		q.mu.Unlock()
		if next.sleep > 0 {
			return next.sleep
		}
		for range next.returned {
			bucket.Return(now)
		}
		if next.take && next.wait == 0 {
			next.wait = bucket.Take(now, next.demand)
			if next.wait == 0 {
				q.keep() // before the call leaves: a crash in between costs a token, the other order would cost a 429
			}
		}
		if !q.give(now, next) {
			bucket.Return(now)
		}
	}
}

// give gives the token that was taken at now to a call, or notes the wait for it. It reports false when no call needs the token any
// more: since the bucket was asked, calls may have left the queue, and Roam may have answered 429.
func (q *Queue) give(now time.Time, n step) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := n.take && n.wait == 0
	var c *call
	switch {
	case n.refresh != nil && taken && !q.state.closed && q.state.pause.isOpen(now):
		c = n.refresh // a call may have come meanwhile: the token that was left is for it
	case n.refresh != nil:
		n.refresh.ready <- decision{err: q.state.refuseRefresh(q.now())}
	case taken && !q.state.closed:
		c = q.state.pop(q.now(), n.demand)
	case n.take && !taken:
		q.state.tokenAt, q.state.tokenFor = now.Add(n.wait), n.demand.Reserve
	}
	if c != nil {
		c.ready <- decision{permit: q.state.permit(q.now(), q, c)}
	}
	return !taken || c != nil
}

// keep writes the present state.
func (q *Queue) keep() {
	if q.keeper == nil {
		return
	}
	q.keeping.Lock()
	defer q.keeping.Unlock()
	q.mu.Lock()
	k := q.state.kept(q.now())
	q.mu.Unlock()
	q.keeper.Keep(k)
}

// step is what the dispatcher does next.
type step struct {
	sleep    time.Duration // for this long; 0: act at once
	returned int           // tokens to be put back
	take     bool          // ask the bucket for a token
	demand   Demand        // for this
	refresh  *call         // the background call that the token is for; nil: the first queued call
	wait     time.Duration // what the adaptive limit answered, or the bucket, which is asked next
}

// next decides what to do at now. A call whose token is there is dispatched even if its wait has just ended, or ended while the
// process was stopped: its tool may still be connected.
func (s *state) next(now time.Time) (n step) {
	n.returned, s.returned = s.returned, 0
	if n.returned > 0 {
		s.tokenAt = time.Time{}
	}
	if len(s.refreshes) > 0 {
		n.refresh = s.refreshes[0]
		s.refreshes = s.refreshes[1:]
		n.take, n.demand = s.isIdle(now), s.demand(now)
		n.demand.Margin += min(keepsForCalls, s.bucket.Limits(now).Burst-1)
		n.wait = s.bucket.Wait(now, n.demand)
		return n
	}
	blocked, wait := s.blocked(now)
	if n.take = !blocked; n.take {
		n.demand = s.demand(now)
		n.wait = s.bucket.Wait(now, n.demand)
	} else if n.returned == 0 {
		s.expire(now)
		n.sleep = s.sleep(now, wait)
	}
	return n
}

// demand is what the next call asks of the bucket.
func (s *state) demand(now time.Time) Demand {
	d := Demand{Calls: s.calls.Len(), Margin: s.margin(now)}
	if need := s.calls.Need(s.reserve(now)); d.Calls > 0 {
		d.Reserve = need - 1
	}
	for f := range s.calls.Flows() {
		d.Weight += max(f.Weight, 1)
	}
	return d
}

// reserve returns how many tokens batch tools leave to the others: never so many that their calls could not be sent at all.
func (s *state) reserve(now time.Time) float64 {
	burst := s.bucket.Limits(now).Burst
	return max(min(s.Reserve*burst, burst-1-s.margin(now)), 0)
}

// blocked reports whether no call could be dispatched at now even with a token, and how long until a token or the end of a pause could
// change that; 0 when neither would.
func (s *state) blocked(now time.Time) (bool, time.Duration) {
	switch {
	case s.calls.Len() == 0 || len(s.inFlight) >= s.slots.of(s.MaxInFlight) || s.pause.state == PauseProbing:
		return true, 0
	case s.pause.lasts(now) > 0:
		return true, s.pause.lasts(now)
	case now.Before(s.tokenAt) && s.calls.Need(s.reserve(now)) >= 1+s.tokenFor:
		return true, s.tokenAt.Sub(now)
	}
	return false, 0
}

// mostSleep is how long the dispatcher sleeps while calls are queued: its timer stops while the machine is suspended.
const mostSleep = time.Second

// sleep returns the shorter of wait, where there is one, and the time to the next deadline.
func (s *state) sleep(now time.Time, wait time.Duration) time.Duration {
	if wait == 0 {
		wait = idleSleep
	}
	if len(s.deadlines) > 0 {
		wait = min(wait, max(s.deadlines[0].deadline.Sub(now), 1), mostSleep)
	}
	s.sleeps = now.Add(wait)
	return wait
}

// pop removes the call that the token which was just taken is for; nil: none may leave any more.
func (s *state) pop(now time.Time, d Demand) *call {
	s.tokenAt = time.Time{}
	if blocked, _ := s.blocked(now); blocked {
		return nil
	}
	item := s.calls.Pop(1+d.Reserve, s.reserve(now))
	if item == nil {
		return nil
	}
	heap.Remove(&s.deadlines, item.Value.due)
	return item.Value
}
