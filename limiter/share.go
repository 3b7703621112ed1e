package limiter

import "time"

// sharer is a Bucket that shares the pause too. The Queue tells it what Roam said, with the line's lock held, and it has the
// Queue follow what other replicas were told.
type sharer interface {
	Bucket
	serve(q *Queue)
	tell(w word)
	told() bool    // nothing is left to be told
	others() int   // replicas that wait for a token too
	replicas() int // who were heard lately, this one among them; 0 while it goes on alone
}

// serve names the line that follows, from the next answer on.
func (b *Redis) serve(q *Queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.line = q
}

// tell has a word told with the next beat, which comes at once. While Redis is away only the last is noted, if it is of a pause, or
// of its end by hand.
func (b *Redis) tell(w word) {
	b.mu.Lock()
	b.probing = false // whatever the word is, the probe is over
	switch {
	case b.joined:
		b.words = append(b.words, w)
	case w.kind == "throttled", w.kind == "hold":
		b.words = []word{{kind: "hold", until: w.until}}
	case w.kind == "resume":
		b.words = []word{w}
	default: // it is over
		b.words = nil
	}
	b.mu.Unlock()
	b.fleet.soon()
}

// others is how many replicas take turns with this one, as far as was heard; none while it goes on alone.
func (b *Redis) others() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return 0
	}
	return b.last.Others
}

// told reports that no word waits to be told.
func (b *Redis) told() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.words) == 0
}

func (b *Redis) replicas() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return 0
	}
	return b.last.Live
}

// tell passes a word on to where the pause is shared. The lock is held.
func (q *Queue) tell(kind string) {
	if s, ok := q.bucket.(sharer); ok {
		s.tell(word{kind: kind, generation: q.pause.shared, until: q.pause.until})
	}
}

// quiet is how long nothing may leave, as far as this line knows.
func (q *Queue) quiet() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pause.remaining(time.Now())
}

// length is how many calls wait.
func (q *Queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.line.waiting
}

// leftAlone has the line look again, and, where another replica was about to probe, probe itself.
func (q *Queue) leftAlone(by sharer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bucket != by {
		return
	}
	if q.pause.elsewhere {
		q.pause.state, q.pause.elsewhere = shut, false
	}
	q.changed = true
	q.look()
}

// follow brings the line's pause in step with the shared one, unless Roam said something meanwhile that is not told yet. Back
// says that Redis was away, so what the bucket said before is no longer true.
func (q *Queue) follow(by sharer, s shared, back bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bucket != by { // it was replaced
		return
	}
	before := q.pause.state
	if by.told() {
		now := time.Now()
		if q.full = s.Emptied < 0; !q.full {
			q.emptied = now.Add(-micros(s.Emptied))
		}
		q.step(now, s)
	}
	if back || q.pause.state != before {
		q.changed = true
		q.look()
	}
}

// step makes the pause what s says. A probe of ours that is under way stays one: what Roam answers it is told by itself. The
// lock is held.
func (q *Queue) step(now time.Time, s shared) {
	p, quiet := &q.pause, micros(s.Quiet)
	news, elsewhere := p.shared != s.Generation, s.State == "probing" && !s.Mine
	p.shared = s.Generation
	switch {
	case s.State == "open" && p.state == open:
		return
	case s.State == "open":
		q.opens(now)
		return
	case p.state == open:
		p.begin(now, quiet)
		q.observer.PauseBegan(quiet)
	case p.state == probing && !p.elsewhere && !news:
		return
	case p.state == probing && !p.elsewhere:
		p.generation++ // another replica was refused after our probe had left: ours does not end that pause
		p.state, p.until = shut, now.Add(quiet)
	default:
		p.state, p.until = shut, now.Add(quiet)
	}
	if p.elsewhere = elsewhere; elsewhere {
		p.state = probing
	}
}
