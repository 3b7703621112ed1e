package limiter

import "time"

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
