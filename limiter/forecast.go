package limiter

import (
	"math"
	"time"
)

// forecast is what is known at one moment of when calls will leave. All times are from that moment.
//
// Calls are counted in the order in which they leave. The first ones are known one by one: they are under way, or there is a
// probe, or slots that grow, before the line runs evenly. From there on the bucket decides, and the slots.
type forecast struct {
	now     time.Time
	learned Learned
	paid    Limits
	known   []time.Duration // when calls left, or will leave
	under   int             // how many of those have left
	opens   time.Duration   // the next one may leave, for all that pause and slots know
	level   float64         // of the bucket then
	token   time.Duration   // there is none before this
	each    float64         // tokens that go for one call of ours: each replica that waits has a turn for each of ours
	slots   int             // calls under way at once, when they have grown
	held    time.Duration   // how long each holds its slot
	rough   time.Duration   // by how much it may be off
}

// moment is how long a call may take to leave that has its turn: the dispatcher wakes up, and the state is written.
const moment = time.Millisecond

// forecast says what is known now of the next call and of up to so many after it. It is made in memory of the Queue, rather than on
// the stack of a call that then waits, and so is over when the next one is made. The lock is held.
func (q *Queue) forecast(now time.Time, after int) *forecast {
	f := &q.outlook
	f.level = q.bucket.Level(now)
	f.look(q, now)
	slots := f.begin(q)
	if f.opens > 0 || slots < f.slots {
		f.rough += f.held // Roam may take longer for the next ones
	}
	for i := len(f.known); slots < f.slots && i < 2*f.slots-slots && i-f.under <= after; i++ {
		f.send(f.slot(slots))
	}
	if f.held > 0 { // a rate that grows past what slots let leave makes nothing faster
		f.paid.Rate = min(f.paid.Rate, max(f.rate(), float64(f.slots)/f.held.Seconds()))
	}
	return f
}

// look takes down what else bucket and queue say.
func (f *forecast) look(q *Queue, now time.Time) {
	f.now, f.known, f.under, f.opens = now, f.known[:0], 0, 0
	f.learned, f.paid = q.bucket.Learned(), q.bucket.Paid()
	f.token, f.each = q.tokenAt.Sub(now), 1
	if s, ok := q.bucket.(sharer); ok {
		f.each += float64(s.others())
	}
	f.slots, f.held, f.rough = q.options.MaxInFlight, q.held.mean, moment
	if !f.learned.At.IsZero() {
		f.rough += seconds(1/f.rate()) / 10 // it grows with what leaves
	}
}

// begin notes who has left, and when the next one may. It tells how many slots there are then.
func (f *forecast) begin(q *Queue) (slots int) {
	if q.pause.state == open {
		for _, left := range q.taken {
			f.known = append(f.known, left.Sub(f.now))
		}
		f.under = len(f.known)
		f.pass(f.slot(q.slots()))
		return q.slots()
	}
	f.probe(q)
	if q.options.Adapt {
		return 0 // of which the probe's answer makes one
	}
	return q.slots()
}

// rate is what the bucket fills at when the next one may leave.
func (f *forecast) rate() float64 { return f.learned.limits(f.now.Add(f.opens), f.paid).Rate }

// probe has the probe leave, or notes that it has, and all others wait for its answer. Who left before it will have been answered.
func (f *forecast) probe(q *Queue) {
	if q.pause.state == shut {
		f.send(q.pause.remaining(f.now))
	} else {
		left := f.now
		if n := len(q.taken); n > 0 && !q.pause.elsewhere { // nothing left after it
			left = q.taken[n-1]
		}
		f.known, f.under = append(f.known, left.Sub(f.now)), 1
	}
	f.pass(max(f.known[0]+f.held, 0))
}

// send has the next call leave at a moment, or once there is a token.
func (f *forecast) send(at time.Duration) {
	f.pass(max(at, f.token))
	if missing := f.each - f.level - tolerance/unit; missing > 0 {
		f.pass(f.opens + seconds(missing/f.rate()))
	}
	f.level -= f.each
	f.known = append(f.known, f.opens)
}

// pass lets time pass until a moment, at the rate of before, as the bucket does that nobody asks. What comes into a full one is lost.
func (f *forecast) pass(at time.Duration) {
	was, is := f.learned.limits(f.now.Add(f.opens), f.paid), f.learned.limits(f.now.Add(at), f.paid)
	f.level = min(f.level+was.Rate*(at-f.opens).Seconds(), is.Burst)
	f.opens = at
}

// slot is when the next call finds a slot, of which there are so many now, and one more with each answer until they have grown
// (Queue.trust): it is free once all but one less than there are then of those before it have been answered.
func (f *forecast) slot(slots int) time.Duration {
	i := len(f.known)
	if i < slots {
		return f.opens
	}
	return max(f.opens, f.known[max((i-slots)/2, i-f.slots)]+f.held)
}

// leaves is when the call with n others before it will leave: with its token, and in the slot of the call which left as many
// before it as there are slots, whichever is last; and that call likewise, and so on back to one that is known.
func (f *forecast) leaves(n int) time.Duration {
	i, known := f.under+n, len(f.known)
	if i < known {
		return f.known[i]
	}
	answers := (i - known) / f.slots
	first := i - answers*f.slots
	wait := max(f.filled(i-known), f.filled(first-known)+time.Duration(answers)*f.held)
	if before := first - f.slots; before >= 0 {
		wait = max(wait, f.known[before]+time.Duration(answers+1)*f.held)
	}
	return wait
}

// filled is when there is a token for the call with n others before it, of those that are not known.
func (f *forecast) filled(n int) time.Duration {
	missing := float64(n+1)*f.each - f.level - tolerance/unit
	if missing <= 0 {
		return max(f.opens, f.token)
	}
	return max(f.opens+f.learned.takes(f.now.Add(f.opens), f.paid, missing), f.token)
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long line is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/8)))
}
