package limiter

import "time"

// Pause holds all calls for d, because an operator wants that, and replaces a pause by hand that there is. Calls are queued or
// refused as in a pause after a 429. It ends by itself, or with Resume. Roam refused nothing, so no probe is needed then. It is this
// process's alone: replicas go on, and a restart ends it.
func (q *Queue) Pause(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state.heldUntil = q.now().Add(max(d, 0))
	q.state.bucket.Interrupted()
	q.state.changed()
}

// onHold returns how long a pause by hand still lasts; 0: there is none.
func (s *state) onHold(now time.Time) time.Duration { return max(s.heldUntil.Sub(now), 0) }

// release ends a pause by hand, and reports whether there was one.
func (s *state) release(now time.Time) bool {
	held := s.onHold(now) > 0
	s.heldUntil = time.Time{}
	if held {
		s.changed()
	}
	return held
}
