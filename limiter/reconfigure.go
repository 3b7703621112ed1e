package limiter

import "time"

// Reconfigure puts the bounds of o in force: MaxInFlight, MaxWait, MaxQueue, DefaultPause, MaxPause and Adapt, with the same
// defaults as in New. The rest of o is ignored; a bucket is changed by its own means or by Replace, before this. Queued calls keep
// place and deadline, calls in flight go on, and a pause lasts as long as it would have, or for MaxPause from now.
func (q *Queue) Reconfigure(o Options) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state.reconfigure(q.now(), o.withDefaults())
	q.state.changed()
}

// replacement is a bucket that is to take the place of the present one.
type replacement struct {
	bucket  Bucket
	sharing Sharing
	done    chan struct{}
}

// Replace has the queue ask another bucket for its tokens, which begins empty: what the present one holds may be what the other
// has spent already. Queued calls keep place and deadline, and a pause lasts as long as it would have. Where the other bucket is
// shared, Replace publishes the pause to the replicas. When Replace returns the old bucket is not asked any more. It is called by one
// goroutine at a time.
func (q *Queue) Replace(b Bucket, s Sharing) {
	r := &replacement{b, s, make(chan struct{})}
	q.mu.Lock()
	q.replacement = r
	q.state.wake()
	q.mu.Unlock()
	select {
	case <-r.done:
	case <-q.stopped:
	}
}

// replace is called by the dispatcher, which asks its bucket without the lock. The lock is held.
func (q *Queue) replace(now time.Time) {
	r := q.replacement
	if r == nil {
		return
	}
	q.replacement = nil
	q.state.replace(now, r.bucket, r.sharing)
	if r.sharing != nil {
		r.sharing.Follow(q.follower(r.sharing))
	}
	close(r.done)
}

// follower returns the function that applies the news of s. News of a Sharing that was replaced are ignored.
func (q *Queue) follower(s Sharing) func(News) {
	return func(n News) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.state.sharing == s {
			q.state.follow(q.now(), n)
		}
	}
}

// replace puts another bucket, which begins empty, in the place of the present one.
func (s *state) replace(now time.Time, b Bucket, sharing Sharing) {
	learned := s.bucket.learned
	s.bucket, s.sharing = newAdaptive(now, b, sharing != nil), sharing
	s.bucket.Lower(now, 0)
	s.publish(EventLowered)
	s.returned, s.tokenAt = 0, time.Time{}
	s.pause.shared = 0
	if s.pause.elsewhere {
		s.pause.state, s.pause.elsewhere = PauseShut, false
	}
	if s.Adapt && s.pause.state != PauseOpen {
		s.bucket.Paused(now)
	}
	if sharing == nil {
		s.bucket.SetLearned(now, learned)
	} else if s.pause.remaining(now) > 0 {
		s.publish(EventHeld)
	}
}

// reconfigure puts other bounds in force.
func (s *state) reconfigure(now time.Time, o Options) {
	o.Bucket, o.Sharing, o.Keeper, o.Observer, o.now = s.Bucket, s.Sharing, s.Keeper, s.Observer, s.now
	s.Options = o
	if latest := now.Add(o.MaxPause); s.pause.state == PauseShut && s.pause.until.After(latest) {
		s.pause.until = latest
	}
	s.learn(now, s.bucket.learned)
	if s.bucket.learned != s.learned {
		s.publish(EventLearned)
	}
}
