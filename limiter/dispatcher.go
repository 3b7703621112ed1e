package limiter

import "time"

// rest is how long the dispatcher sleeps when nothing can happen by itself. Any bound would do.
const rest = time.Hour

// dispatch is the one goroutine that lets calls leave. It has one timer, for whatever comes first: a token, the end of a
// pause or a deadline. Everything else that could matter wakes it.
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

// look wakes the dispatcher. The lock is held.
func (q *Queue) look() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// advance lets every call leave that can, and tells how long until something could change by itself.
func (q *Queue) advance() time.Duration {
	for {
		q.mu.Lock()
		now := time.Now()
		if q.replacement != nil {
			q.replace(now, q.replacement)
		}
		q.expire(now.Add(-1)) // one whose turn comes at its very deadline still gets it
		returned := q.returned
		q.returned = 0
		if q.changed {
			q.changed, q.tokenAt = false, time.Time{}
		}
		if len(q.spares) > 0 {
			c := q.spares[0]
			q.spares = q.spares[1:]
			q.mu.Unlock()
			q.spare(now, c)
			continue
		}
		free, wait := q.free(now)
		if !free && returned == 0 {
			q.expire(now)
			wait = q.until(now, wait)
			q.sleeps = now.Add(wait)
			q.mu.Unlock()
			return wait
		}
		q.mu.Unlock()

		for range returned {
			q.bucket.Return(now)
		}
		if !free {
			q.settle(time.Time{})
			continue
		}
		if wait := q.bucket.Take(now); wait > 0 {
			q.settle(now.Add(wait))
			continue
		}
		q.keep() // before the call leaves: a crash in between costs a token, the other order would cost a 429
		if !q.hand() {
			q.bucket.Return(now)
		}
	}
}

// settle remembers when the next token will be there.
func (q *Queue) settle(tokenAt time.Time) {
	q.mu.Lock()
	q.tokenAt = tokenAt
	q.mu.Unlock()
}

// free reports whether a call could leave now if there is a token for it; if not, how long until a token or the end of a
// pause could change that, 0 when neither would.
func (q *Queue) free(now time.Time) (bool, time.Duration) {
	switch {
	case q.closed || q.line.waiting == 0 || len(q.taken) >= q.slots() || q.pause.state == probing:
		return false, 0
	case q.pause.remaining(now) > 0:
		return false, q.pause.remaining(now)
	case now.Before(q.tokenAt):
		return false, q.tokenAt.Sub(now)
	}
	return true, 0
}

// until is the shorter of wait, where there is one, and the time to the next deadline.
func (q *Queue) until(now time.Time, wait time.Duration) time.Duration {
	if wait == 0 {
		wait = rest
	}
	if q.deadlines.Len() > 0 {
		wait = min(wait, max(q.deadlines.first().deadline.Sub(now), 0))
	}
	return wait
}

// expire refuses those whose longest wait has ended by now.
func (q *Queue) expire(now time.Time) {
	for q.deadlines.Len() > 0 && !q.deadlines.first().deadline.After(now) {
		c := q.deadlines.first()
		tool := c.lane.tool
		q.take(c)
		waited := time.Since(c.entered)
		q.observer.Waited(tool.Name, Expired, waited)
		c.ready <- verdict{err: q.refusal(time.Now(), &tool, c, c.deadline.Sub(c.arrived), waited)}
	}
}

// hand gives the token that was just taken to whoever is at the head now, and reports whether there was somebody: between
// the bucket's answer and this moment calls may have left, and Roam may have asked for quiet.
func (q *Queue) hand() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.expire(now.Add(-1))
	q.tokenAt = time.Time{}
	if free, _ := q.free(now); !free {
		return false
	}
	c := q.line.pop()
	q.gone(c)
	q.give(now, c)
	return true
}

// give tells c that it may leave. The lock is held.
func (q *Queue) give(now time.Time, c *call) {
	q.taken = append(q.taken, now)
	t := &Permit{Waited: now.Sub(c.entered), queue: q, call: c, bucket: q.bucket, generation: q.pause.generation, left: now, held: q.bucket.Level(now), sent: q.sent}
	q.sent++
	if q.pause.state == shut {
		q.pause.state, t.probe = probing, true
	}
	q.observer.Waited(c.lane.tool.Name, Sent, t.Waited)
	c.ready <- verdict{turn: t}
}
