package limiter

import "time"

// Close refuses all who wait and all who come, with ErrClosed, and ends the dispatcher. Turns under way are not disturbed.
// It may be called more than once.
func (q *Queue) Close() {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	now := time.Now()
	for c := q.line.pop(); c != nil; c = q.line.pop() {
		q.gone(c)
		waited := now.Sub(c.entered)
		q.observer.Waited(c.lane.tool.Name, Canceled, waited)
		c.ready <- verdict{err: q.dismissal(now, q.dismissed, waited)}
		q.dismissed++
	}
	for _, c := range q.spares {
		c.ready <- verdict{err: q.dismissal(now, q.dismissed, 0)}
	}
	q.spares = nil
	q.mu.Unlock()
	if first {
		close(q.stop)
	}
	<-q.stopped
	q.keep()
}

// dismissal tells a call that would have had n others before it when its turn would have been: level and pause go on in the
// next process, so whoever comes then finds his token there, and not everybody else. The least is for that process to start.
// The lock is held.
func (q *Queue) dismissal(now time.Time, n int, waited time.Duration) *Refusal {
	return &Refusal{Reason: ErrClosed, RetryAfter: max(q.estimate(now, n), leastPause), Waited: waited}
}
