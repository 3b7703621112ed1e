package limiter

import (
	"slices"
	"time"
)

// Permit is the right to send one call now. It holds a slot until Release. A Permit belongs to one goroutine at a time.
type Permit struct {
	Waited time.Duration // in the line, this time

	queue      *Queue
	call       *call
	bucket     Bucket // whose token it has
	generation uint64
	probe      bool
	settled    bool // Roam's word on it has been told
	done       bool
	left       time.Time
	held       float64 // what the bucket held when it had left
	sent       int     // as Queue.sent was
}

// Answered tells that Roam let the call through, whatever it then made of it. After a pause this opens the line.
func (t *Permit) Answered() {
	q := t.queue
	q.mu.Lock()
	t.settled = true
	q.trust()
	opens := t.probe && q.pause.state == probing && q.pause.generation == t.generation
	if opens {
		q.tell("answered")
		q.opens(time.Now())
		q.look()
	}
	q.mu.Unlock()
	if opens {
		q.keep()
	}
}

// opens ends the pause. The lock is held.
func (q *Queue) opens(now time.Time) {
	q.pause.end(now)
	if q.options.Adapt {
		q.careful = 1
	}
	q.observer.PauseEnded()
}

// timed tells that the first byte of the answer is here, for a call whose sending took no time worth speaking of.
func (t *Permit) timed() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.queue.spread.add(time.Since(t.left))
}

// trust lets one more call be under way at once after each answer that was no refusal. What accrued in a pause then goes out
// in twos, fours and eights rather than all at once, so that few are refused should somebody else have spent it.
func (q *Queue) trust() {
	if q.careful == 0 {
		return
	}
	if q.careful++; q.careful >= q.options.MaxInFlight {
		q.careful = 0
	}
	q.look()
}

// slots is how many calls may be under way at once.
func (q *Queue) slots() int {
	if q.careful > 0 {
		return min(q.careful, q.options.MaxInFlight)
	}
	return q.options.MaxInFlight
}

// Throttled tells that Roam answered 429 and asks for quiet: nothing leaves before that is over, or MaxPause, and then one
// call alone. A refusal of before the present pause changes nothing.
func (t *Permit) Throttled(quiet time.Duration) {
	q := t.queue
	q.mu.Lock()
	t.settled = true
	q.observer.Throttled()
	begins := q.pause.generation == t.generation
	if begins {
		now := time.Now()
		quiet = min(quiet, q.options.MaxPause)
		if q.options.Adapt && !t.probe { // a refused probe says only that the pause was too short
			q.bucket.Learn(q.bucket.Learned().refused(now, q.bucket.Paid(), t.held, q.came(now, t), q.full))
		}
		if q.sent = t.sent; q.full || t.sent >= enough {
			q.emptied, q.sent, q.full = t.left, 0, false
		}
		q.bucket.Drain(now) // whatever we believed, Roam says that nothing is left
		q.tokenAt = time.Time{}
		q.pause.begin(now, quiet)
		q.tell("throttled")
		q.observer.PauseBegan(quiet)
		q.look()
	}
	q.mu.Unlock()
	if begins {
		q.keep()
	}
}

// came is how many calls a second Roam let through after it had nothing left, until it refused t. Who shares the quota does not
// know of the others' calls, and takes what the bucket believed to have come in, less what it still held. The lock is held.
func (q *Queue) came(now time.Time, t *Permit) float64 {
	since := t.left.Sub(q.emptied).Seconds()
	if since <= 0 {
		return 0
	}
	if _, ok := q.bucket.(sharer); ok {
		was := q.bucket.Learned()
		return max((was.Rate+was.limits(now, q.bucket.Paid()).Rate)/2-t.held/since, 0)
	}
	return float64(t.sent) / since
}

// Release frees the slot. A probe that ends without a word from Roam leaves the question to the next call. Calling it again
// does nothing.
func (t *Permit) Release() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.done {
		return
	}
	t.done = true
	q.vacate(t)
	q.held.add(time.Since(t.left))
	q.unanswered(t)
	if q.line.waiting > 0 {
		q.look()
	}
}

// unused gives slot and token back: the tool went away in the moment of its turn.
func (t *Permit) unused() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	t.done = true
	q.vacate(t)
	if t.bucket == q.bucket {
		q.returned++
	}
	q.sent = max(q.sent-1, 0)
	q.unanswered(t)
	q.look()
}

// vacate frees the slot of t.
func (q *Queue) vacate(t *Permit) {
	i := slices.IndexFunc(q.taken, t.left.Equal)
	q.taken = slices.Delete(q.taken, i, i+1)
}

func (q *Queue) unanswered(t *Permit) {
	if t.probe && !t.settled && q.pause.state == probing && q.pause.generation == t.generation {
		q.pause.state = shut // its time is over, so the next call is the probe
		q.tell("unsure")
	}
}

// held is how long slots are held, as an exponentially weighted mean, for the estimate.
type held struct{ mean time.Duration }

// An eighth of each new value, as TCP smooths its round trips (RFC 6298): a handful of calls settle it, one does not upset it.
func (h *held) add(d time.Duration) {
	if h.mean == 0 {
		h.mean = d
		return
	}
	h.mean += (d - h.mean) / 8
}
