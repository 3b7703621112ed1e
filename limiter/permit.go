package limiter

import (
	"slices"
	"time"
)

// Permit is leave to send one call now. It holds a slot until Release. A Permit belongs to one goroutine at a time.
type Permit struct {
	Waited time.Duration // in the queue, this time

	queue      *Queue
	call       *call
	bucket     *adaptive // whose token it has
	soon       bool      // after the call before it: adaptive.Sent
	generation uint64
	probe      bool
	settled    bool // Roam has answered
	released   bool
	left       time.Time
	written    time.Time // zero: not yet
}

// Answered reports that Roam answered the call with anything but 429. The answer to a probe ends the pause.
func (p *Permit) Answered() {
	q := p.queue
	q.mu.Lock()
	ended := q.state.answered(p.queue.now(), p)
	q.mu.Unlock()
	if ended {
		q.keep()
	}
}

// Throttled reports that Roam answered 429 and asks for a pause of at least leastPause; below 0, it does not say for how long. No call
// is dispatched before that is over, or MaxPause, and then one call alone. A refusal from before the present pause changes nothing.
func (p *Permit) Throttled(pause time.Duration) {
	q := p.queue
	q.mu.Lock()
	began := q.state.throttled(p.queue.now(), p, pause)
	q.mu.Unlock()
	if began {
		q.keep()
	}
}

// Release frees the slot. If a probe ends without an answer, the next call is the probe. A second Release does nothing.
func (p *Permit) Release() { p.end(false) }

// Cancel gives slot and token back: the call was not sent after all. After Release it does nothing.
func (p *Permit) Cancel() { p.end(true) }

func (p *Permit) end(unused bool) {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	if !p.released {
		p.released = true
		p.queue.state.released(p.queue.now(), p, unused)
	}
}

// WroteRequest reports that the whole request was written.
func (p *Permit) WroteRequest() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.written = p.queue.now()
	d := &p.queue.state.delays
	d.written, d.longest = true, max(d.longest, min(p.written.Sub(p.left), mostDelay))
}

// FirstByte reports the first byte of the response, for a call whose body is too small to take time.
func (p *Permit) FirstByte() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	d := delay{way: p.queue.now().Sub(p.left)}
	if !p.written.IsZero() {
		d.stall = p.written.Sub(p.left)
		d.way -= d.stall
	}
	p.queue.state.delays.add(d)
	p.queue.state.wake() // more or less may be held back
}

// permit gives c leave to be sent.
func (s *state) permit(now time.Time, q *Queue, c *call) *Permit {
	full, soon := s.bucket.Sent(now)
	s.slots.sent(full, s.unanswered()+1)
	p := &Permit{
		Waited: now.Sub(c.entered), queue: q, call: c, bucket: s.bucket, generation: s.pause.generation, left: now, soon: soon,
	}
	if s.pause.state == PauseShut {
		s.pause.state, p.probe = PauseProbing, true
	}
	s.inFlight = append(s.inFlight, p)
	s.Observer.Waited(c.tool.Name, Sent, p.Waited)
	return p
}

// unanswered returns how many calls Roam has not answered yet.
func (s *state) unanswered() (n int) {
	for _, p := range s.inFlight {
		if !p.settled {
			n++
		}
	}
	return n
}

// answered reports whether p was the probe that ends the pause.
func (s *state) answered(now time.Time, p *Permit) bool {
	p.settled = true
	p.bucket.Admitted()
	s.slots.answered()
	ends := p.probe && s.pause.state == PauseProbing && s.pause.generation == p.generation
	if ends {
		s.publish(EventAnswered)
		s.endPause(now)
		s.publish(EventLowered)
	}
	s.wake()
	return ends
}

// paused begins a pause of which an earlier process, or another replica, knows.
func (s *state) paused(now time.Time, d time.Duration) {
	s.pause.begin(now, d)
	if s.Adapt {
		s.bucket.Paused(now)
	}
	s.Observer.PauseBegan(max(d, 0))
}

func (s *state) endPause(now time.Time) {
	s.pause.end(now)
	s.bucket.Resumed(now)
	s.Observer.PauseEnded()
}

// throttled reports whether the refusal of p begins a pause.
func (s *state) throttled(now time.Time, p *Permit, pause time.Duration) bool {
	p.settled = true
	s.Observer.Throttled()
	begins := s.pause.generation == p.generation
	switch {
	case !begins:
		s.slots.refusedToo()
		return false
	case p.probe || !s.Adapt: // a probe shows only that the pause was too short
		p.bucket.Unsent(now)
		p.bucket.Lower(now, 0)
	default:
		p.bucket.Refused(now)
		s.slots.refused(p.soon, s.unanswered())
	}
	if pause < 0 {
		pause = s.DefaultPause
	}
	pause = min(max(pause, leastPause), s.MaxPause)
	s.pause.begin(now, pause)
	s.delays.longest = 0 // the level is what Roam says, from here on
	s.publish(EventThrottled)
	if s.bucket.learned != s.learned {
		s.publish(EventLearned)
	}
	s.Observer.PauseBegan(pause)
	s.changed()
	return true
}

// released ends p. unused: its call was not sent.
func (s *state) released(now time.Time, p *Permit, unused bool) {
	i := slices.Index(s.inFlight, p)
	s.inFlight = slices.Delete(s.inFlight, i, i+1)
	if unused {
		if p.bucket == s.bucket {
			s.returned++
		}
		p.bucket.Unsent(now)
	} else {
		s.held.add(now.Sub(p.left))
	}
	if !p.settled {
		if !unused {
			p.bucket.Admitted() // perhaps it was
		}
		if p.probe && s.pause.state == PauseProbing && s.pause.generation == p.generation {
			s.pause.state = PauseShut // it is over, so the next call is the probe
			s.publish(EventUnsure)
		}
	}
	s.wake()
}
