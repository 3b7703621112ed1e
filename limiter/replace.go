package limiter

import "time"

// replacement is a bucket that is to take the place of the present one.
type replacement struct {
	bucket Bucket
	done   chan struct{}
}

// Replace has the line ask another bucket for its tokens, which begins empty: what the present one holds may be what the other
// has spent already. Whoever waits keeps place and deadline, and a pause lasts as long as it would have; where the other bucket
// is shared, the replicas are told of it. When Replace returns the old bucket is not asked any more. It is called by one
// goroutine at a time.
func (q *Queue) Replace(b Bucket) {
	r := &replacement{b, make(chan struct{})}
	q.mu.Lock()
	q.replacement = r
	q.look()
	q.mu.Unlock()
	select {
	case <-r.done:
	case <-q.stopped:
	}
}

// replace does it. Only the dispatcher calls it, which asks its bucket without the lock; the lock is held.
func (q *Queue) replace(now time.Time, r *replacement) {
	was := q.bucket
	q.bucket, q.replacement = r.bucket, nil
	q.bucket.Drain(now)
	q.returned, q.tokenAt = 0, time.Time{}
	q.emptied, q.sent, q.full = now, 0, false
	q.pause.shared = 0
	if q.pause.elsewhere {
		q.pause.state, q.pause.elsewhere = shut, false
	}
	if s, ok := q.bucket.(sharer); ok {
		s.serve(q)
		if q.pause.remaining(now) > 0 {
			q.tell("hold")
		}
	} else {
		q.bucket.Learn(was.Learned())
	}
	close(r.done)
}
