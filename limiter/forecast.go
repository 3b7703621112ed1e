package limiter

import (
	"math"
	"time"
)

// forecast is what is known at one moment of when calls will leave. All times are from that moment.
type forecast struct {
	now     time.Time
	learned Learned
	paid    Limits
	token   time.Duration // the next call's token is there
	probe   time.Duration // the next call leaves as the probe; below 0: it is none
	opens   time.Duration // the next one after that may leave, for all that pause and slots know
	level   float64       // of the bucket then
	each    float64       // tokens that go for one call of ours: each replica that waits has a turn for each of ours
	taken   []time.Time   // when the calls that hold a slot left, the earliest first
	slots   int           // calls under way at once, at first
	most    int           // and in the end
	held    time.Duration // how long each holds its slot
	rough   time.Duration // by how much it may be off, because it matters when Roam answers or what it lets us learn; 0: only the bucket matters
}

// forecast says what is known now. The lock is held.
func (q *Queue) forecast(now time.Time) forecast {
	f := forecast{
		now: now, learned: q.bucket.Learned(), paid: q.bucket.Paid(), level: q.bucket.Level(now), probe: -1, each: 1,
		taken: q.taken, slots: q.slots(), most: q.options.MaxInFlight, held: q.held.mean,
	}
	if s, ok := q.bucket.(sharer); ok {
		f.each += float64(s.others())
	}
	is := q.bucket.Limits(now)
	f.token = max(q.tokenAt.Sub(now), f.filled(0))
	switch q.pause.state {
	case open:
		f.opens = max(f.slot(0), 0)
	case shut:
		f.probe = max(q.pause.remaining(now), f.token)
		f.level = min(f.level+is.Rate*f.probe.Seconds(), is.Burst) - 1 - is.Rate*f.probe.Seconds()
		f.opens = f.probe + f.held
	case probing:
		f.opens = f.held
		if n := len(f.taken); n > 0 && !q.pause.elsewhere { // nothing left after it
			f.opens = max(f.opens-now.Sub(f.taken[n-1]), 0)
		}
	}
	f.level = min(f.level+is.Rate*f.opens.Seconds(), is.Burst)
	switch {
	case f.opens > 0 || f.slots < f.most:
		f.rough = seconds(1/is.Rate) + f.held
	case !f.learned.At.IsZero():
		f.rough = seconds(1/is.Rate) / 2 // a learned rate grows with what leaves
	}
	if q.pause.state != open {
		f.taken = nil // they will have ended
		if q.options.Adapt {
			f.slots = 1
		}
	}
	return f
}

// leaves is when the call with n others before it will leave: with its token, after the pause and its probe, and in a slot,
// whichever is last.
func (f *forecast) leaves(n int) time.Duration {
	if f.probe >= 0 {
		if n == 0 {
			return f.probe
		}
		n--
	}
	wait := max(f.filled(n), f.slot(n))
	if n == 0 {
		wait = max(wait, f.token)
	}
	return wait
}

// filled is when there is a token for the call with n others before it, of those that may leave once the line is open.
func (f *forecast) filled(n int) time.Duration {
	missing := float64(n+1)*f.each - f.level - tolerance/unit
	if missing <= 0 {
		return f.opens
	}
	return f.opens + f.learned.takes(f.now.Add(f.opens), f.paid, missing)
}

// slot is when the call with n others before it finds a slot: that of the call which left as many before it as there are slots,
// and so on back to one that is under way or waits for its token alone.
func (f *forecast) slot(n int) time.Duration {
	if f.slots < f.most {
		return f.growing(n)
	}
	under := len(f.taken)
	at := n + under // its place in the order in which all leave
	if at < f.slots || f.held == 0 {
		return 0
	}
	base, turns := at%f.slots, time.Duration(at/f.slots)
	if base >= under {
		return f.filled(base-under) + turns*f.held
	}
	wait := turns*f.held - f.now.Sub(f.taken[base])
	if base += f.slots; base >= under && base < at {
		wait = max(wait, f.filled(base-under)+(turns-1)*f.held)
	}
	return wait
}

// growing is when the call with n others before it finds a slot, where there are twice as many after each answer's time, as
// Queue.trust has it, and those of one moment are answered together.
func (f *forecast) growing(n int) time.Duration {
	left, slots, answers, start := n, f.slots, 0, f.opens
	if under := len(f.taken); under > 0 {
		left, start = left+under, f.taken[under-1].Sub(f.now)
	}
	for ; left >= slots && slots < f.most; slots = min(2*slots, f.most) {
		left -= slots
		answers++
	}
	back := left / slots
	if answers += back; answers == 0 {
		return 0
	}
	return max(f.filled(max(n-back*slots, 0))+time.Duration(back)*f.held, start+time.Duration(answers)*f.held)
}

// seconds converts, rounded up and without overflow: at 0.001 calls a second a long line is years long.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s*float64(time.Second), math.MaxInt64/8)))
}
