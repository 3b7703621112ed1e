package limiter

import "time"

// spare is how many tokens a background call leaves behind: a call that comes in the next moment goes at once. A bucket that never
// holds as much must be full.
const spare = 1

// isIdle reports whether a background call may ask for a token.
func (s *state) isIdle(now time.Time) bool {
	return s.calls.Len() == 0 && len(s.inFlight) < s.bucket.Slots(s.MaxInFlight) && s.pause.isOpen(now)
}

// busy says why a background call gets no permit at now; nil when the bucket is to be asked.
func (s *state) busy(now time.Time) *Refusal {
	if s.isIdle(now) && s.bucket.Level(now)-s.margin(now)+tolerance/unit >= min(1+spare, s.bucket.Limits(now).Burst) {
		return nil
	}
	return s.refuseRefresh(now)
}

func (s *state) refuseRefresh(now time.Time) *Refusal {
	r := &Refusal{Reason: ErrBusy, RetryAfter: s.forecast(now).nth(s.calls.Len() + spare)}
	if !s.pause.isOpen(now) {
		r.Reason = ErrPaused
	}
	return r
}
