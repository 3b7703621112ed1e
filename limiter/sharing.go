package limiter

import "time"

// Sharing connects a Queue with the other replicas that use its quota. A quota of one process has none. The Queue calls its
// methods with its lock held: they must not block, and must not call the Queue.
type Sharing interface {
	// Publish sends an event to the other replicas.
	Publish(Event)
	// Follow sets the function that is called with all news, on any goroutine and without a lock.
	Follow(func(News))
	// Part returns how much of the quota this replica has at present.
	Part() Part
}

// EventKind says what happened to a quota.
type EventKind string

// The events that replicas publish. The script in Redis uses the same words.
const (
	EventThrottled EventKind = "throttled" // Roam answered 429
	EventAnswered  EventKind = "answered"  // Roam answered the probe: the pause is over
	EventUnsure    EventKind = "unsure"    // the probe ended without an answer
	EventResumed   EventKind = "resume"    // an operator ended the pause
	EventHeld      EventKind = "hold"      // there is a pause that the others may not know of
	EventLearned   EventKind = "learned"   // the adaptive limit changed
	EventLowered   EventKind = "lowered"   // Roam has no more tokens than Level
)

// Event is something that all replicas have to know.
type Event struct {
	Kind       EventKind
	Generation uint64    // of the pause that the event is about
	Until      time.Time // the end of the pause
	Learned    AdaptState
	Level      float64
}

// News is what the replicas know together at one moment.
type News struct {
	State      PauseState
	Generation uint64        // of the pause
	Remaining  time.Duration // of the pause
	Mine       bool          // this replica's call is the probe
	Pending    bool          // events of this replica are not in it yet: it may be out of date
	Learned    AdaptState
	Alone      bool // the others cannot be reached; the other fields have no meaning
	Changed    bool // the connection was lost or found: what the bucket said before is no longer true
}

// Part is how much of a quota one replica has.
type Part struct {
	Rate     float64 // of the rate, from above 0 to 1, while others wait as they do now
	Burst    float64 // calls at once that the bucket can hold now
	Replicas int     // that have a session, this one among them; 0 while it is alone
}

// publish sends an event to the other replicas, if there are any.
func (s *state) publish(kind EventKind) {
	if s.sharing == nil {
		return
	}
	e := Event{Kind: kind, Generation: s.pause.shared, Until: s.pause.until, Level: s.bucket.level}
	if kind == EventLearned {
		e.Learned = s.bucket.learned
		s.learned = e.Learned
	}
	s.sharing.Publish(e)
}

// part returns this replica's part of the quota.
func (s *state) part() Part {
	if s.sharing == nil {
		return Part{Rate: 1, Burst: s.bucket.bucket.Limits().Burst, Replicas: 1}
	}
	return s.sharing.Part()
}

// follow brings the pause and the adaptive limit in step with what the replicas know together.
func (s *state) follow(now time.Time, n News) {
	before := s.pause.state
	switch {
	case n.Alone:
		if s.pause.elsewhere { // another replica was about to probe, and cannot be reached
			s.pause.state, s.pause.elsewhere = PauseShut, false
		}
	case !n.Pending:
		s.followPause(now, n)
		s.learned = n.Learned
		if s.learn(now, n.Learned); s.bucket.learned != n.Learned { // nothing is learned here: adapt is off
			s.publish(EventLearned)
		}
	}
	if n.Changed || s.pause.state != before {
		s.changed()
	}
}

// followPause makes the pause what n says. A probe of this replica that is in flight remains one: its answer is published.
func (s *state) followPause(now time.Time, n News) {
	p := &s.pause
	isNew, elsewhere := p.shared != n.Generation, n.State == PauseProbing && !n.Mine
	p.shared = n.Generation
	switch {
	case n.State == PauseOpen && p.state == PauseOpen:
		return
	case n.State == PauseOpen:
		s.endPause(now)
		return
	case p.state == PauseOpen:
		s.paused(now, n.Remaining)
	case p.state == PauseProbing && !p.elsewhere && !isNew:
		return
	case p.state == PauseProbing && !p.elsewhere:
		p.generation++ // another replica was refused after our probe had left: ours does not end that pause
		p.state, p.until = PauseShut, now.Add(n.Remaining)
	default:
		p.state, p.until = PauseShut, now.Add(n.Remaining)
	}
	if p.elsewhere = elsewhere; elsewhere {
		p.state = PauseProbing
	}
}
