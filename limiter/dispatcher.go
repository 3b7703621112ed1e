package limiter

import "time"

// rest is how long the dispatcher sleeps when nothing can happen by itself. Any bound would do.
const rest = time.Hour

// dispatch is the one goroutine that gives permits. It has one timer, for whatever comes first: a token, the end of a pause or a
// deadline. Everything else that could matter wakes it.
func (q *Queue) dispatch() {
	defer close(q.stopped)
	timer := time.NewTimer(rest)
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
		bucket := q.state.bucket
		q.mu.Unlock()
		if next.sleep > 0 {
			return next.sleep
		}
		for range next.returned {
			bucket.Return(now)
		}
		if next.take {
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

// give hands out the token that was taken at now, or notes the wait for it. It reports false when nobody needs the token any
// more: since the bucket was asked, calls may have left the queue, and Roam may have answered 429.
func (q *Queue) give(now time.Time, n step) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := n.take && n.wait == 0
	var c *call
	switch {
	case n.refresh != nil && taken && !q.closed && q.state.pause.isOpen(now):
		c = n.refresh // a call may have come meanwhile: the token that was left is for it
	case n.refresh != nil:
		n.refresh.ready <- decision{err: q.state.refuseRefresh(q.now())}
	case taken && !q.closed:
		c = q.state.pop(q.now(), n.demand)
	case n.take && !taken:
		q.state.tokenAt, q.state.tokenFor = now.Add(n.wait), n.demand.Reserve
	}
	if c != nil {
		c.ready <- decision{permit: q.state.permit(q.now(), q, c)}
	}
	return !taken || c != nil
}

// keep writes down what is true now.
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
