package proxy

import (
	"context"
	"math"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// Line tells the cache how the line in front of Roam stands, for who asks. It knows a tool by the visit that its context
// carries, and a fill by its journey.
type Line struct{}

var _ cache.Line = Line{}

// Depart begins the journey of a fill.
func (Line) Depart(asker context.Context) context.Context {
	_, ctx := visitOf(asker).depart(asker)
	return ctx
}

// State asks the line of the asker's quota. A refresh in the background wants a token that is left when the next caller has one.
func (Line) State(asker context.Context) (idle, paused bool) {
	s := visitOf(asker).lane.quota.Queue.State()
	return !s.Paused && len(s.Waiting) == 0 && s.Tokens >= min(2, s.Burst), s.Paused
}

// lineFirst lets the line itself say that a wait was too long, if it comes to it: it knows why.
const lineFirst = 10 * time.Millisecond

// Patience is the longest wait of the visit.
func (Line) Patience(asker context.Context) time.Duration {
	return visitOf(asker).patience() + lineFirst
}

// Join lets a call that is on its way be the call of this visit too.
func (Line) Join(fill, asker context.Context) error {
	if j := travelling(fill); j != nil {
		j.Favour(visitOf(asker).caller())
	}
	return nil
}

// Late tells whether a call that somebody has waited for as long as he would is still in the line.
func (Line) Late(fill, asker context.Context) error {
	if j := travelling(fill); j != nil && j.away.Load() {
		return nil
	}
	v := visitOf(asker)
	s := v.lane.quota.Queue.State()
	reason, n := limiter.ErrWaitTooLong, 1
	if s.Paused {
		reason = limiter.ErrPaused
	}
	for _, waiting := range s.Waiting {
		n += waiting
	}
	wait := s.PausedFor + time.Duration(math.Ceil(float64(n)/s.Rate*float64(time.Second)))
	return &limiter.Refusal{Reason: reason, RetryAfter: max(wait-v.patience(), 0), Waited: v.patience()}
}
