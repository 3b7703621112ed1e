package limiter

import (
	"container/heap"
	"time"

	"roamproxy/limiter/fairqueue"
)

// state is all that a Queue's lock guards: the queued calls, the calls in flight, the pause and the bucket. Its methods are
// arithmetic. They never lock and never wait, and the caller of each holds the lock.
type state struct {
	Options
	bucket  *adaptive
	sharing Sharing
	wake    func()    // the dispatcher should look again
	epoch   time.Time // ranks count from here

	calls     *fairqueue.Queue[*call]
	deadlines deadlines
	promises  promises
	latest    forecast  // its memory is for the next one
	refreshes []*call   // background calls that the dispatcher answers at once
	inFlight  []*Permit // that hold a slot, the earliest first
	slots     slots     // that Roam seems to have
	held      mean      // how long a slot is held
	delays    delays
	pause     pause
	tokenAt   time.Time     // the bucket has no token before this time
	tokenFor  float64       // for a call that must leave this reserve
	returned  int           // tokens whose calls were abandoned at the moment of their dispatch
	sleeps    time.Time     // when the dispatcher runs again by itself
	asleep    time.Duration // that the machine was suspended since the process began
	learned   AdaptState    // what the other replicas know of
	closed    bool          // no call is admitted any more
	closedOut int           // calls that were queued when the queue was closed, and come again
}

func newState(o Options) state {
	now := o.now()
	s := state{Options: o, sharing: o.Sharing, epoch: now, calls: fairqueue.New[*call]()}
	s.bucket = newAdaptive(now, o.Bucket, o.Sharing != nil)
	s.latest.calls = fairqueue.New[*call]()
	s.learn(now, o.Learned)
	s.pause.state = PauseOpen
	if o.Paused != 0 {
		s.paused(now, min(o.Paused, o.MaxPause))
	}
	return s
}

// learn replaces what was learned, by what a state file or another replica says. The zero state forgets everything.
func (s *state) learn(now time.Time, learned AdaptState) {
	if !s.Adapt {
		learned = AdaptState{}
	}
	s.bucket.SetLearned(now, learned)
	if learned.At.IsZero() {
		s.slots.most = 0
	}
}

// enter queues an admitted call. The dispatcher is woken only when it would otherwise sleep past something new.
func (s *state) enter(c *call) {
	if s.calls.Len() == 0 && s.bucket.Level(c.entered) > s.bucket.Limits(c.entered).Burst-lacks {
		s.delays.longest = 0
		if s.pause.state == PauseOpen {
			s.bucket.meter.void()
		}
	}
	c.item = s.calls.Push(c.tool.flow(), s.rank(c.arrived, c.urgency), c)
	s.entered(c)
}

// requeue queues c again after its permit has ended.
func (s *state) requeue(now time.Time, c *call) {
	c.entered = now
	s.calls.Return(c.item)
	s.entered(c)
}

func (s *state) entered(c *call) {
	heap.Push(&s.deadlines, c)
	if s.calls.Len() == 1 || c.deadline.Before(s.sleeps) || s.tokenFor > 0 {
		s.wake()
	}
}

// remove takes c out of the queue.
func (s *state) remove(c *call) {
	s.calls.Remove(c.item)
	heap.Remove(&s.deadlines, c.due)
}

// favour gives c the better of its own place and deadline and those of a call that caller made now.
func (s *state) favour(now time.Time, c *call, caller Caller) {
	other := s.newCall(now, caller)
	if other.expires.After(c.expires) {
		c.expires = other.expires
	}
	c.next()
	if !c.item.Queued() {
		return
	}
	heap.Fix(&s.deadlines, c.due)
	t := other.tool
	if f := t.flow(); f.Name != c.tool.flow().Name && t.MaxQueue > 0 && s.calls.FlowLen(f.Name) >= t.MaxQueue {
		return
	}
	if s.calls.Favour(c.item, t.flow(), s.rank(now, other.urgency)) {
		c.tool, c.urgency = t, other.urgency
	}
}

// expire refuses the calls whose wait has ended by now. A call that has waited for max_wait was admitted, and favoured calls came
// later: it goes before them from here on, unless a pause lasts until it would expire.
func (s *state) expire(now time.Time) {
	for len(s.deadlines) > 0 && !s.deadlines[0].deadline.After(now) {
		c := s.deadlines[0]
		if c.deadline.Before(c.expires) && now.Add(s.pause.remaining(now)).Before(c.expires) {
			c.promoted = time.Time{}
			c.next()
			s.calls.Promote(c.item)
			heap.Fix(&s.deadlines, c.due)
			continue
		}
		s.remove(c)
		waited := s.now().Sub(c.entered)
		s.Observer.Waited(c.tool.Name, Expired, waited)
		c.ready <- decision{err: s.refusal(s.now(), c, c.longest, waited)}
	}
}

// resumed lets the time that the machine was suspended count for pauses and tokens, but not for the calls. Their tools were suspended
// with it, and those that are still connected want their answers.
func (s *state) resumed(now time.Time) {
	asleep := time.Until(now).Round(100 * time.Millisecond)
	more := asleep - s.asleep
	if s.asleep = asleep; more <= 0 {
		return
	}
	for _, c := range s.deadlines {
		c.arrived, c.entered, c.expires = c.arrived.Add(more), c.entered.Add(more), c.expires.Add(more)
		if !c.promoted.IsZero() {
			c.promoted = c.promoted.Add(more)
		}
		c.next()
	}
	for _, p := range s.inFlight {
		p.left = p.left.Add(more)
		if !p.written.IsZero() {
			p.written = p.written.Add(more)
		}
	}
	s.tokenAt = time.Time{}
}

// closeOut refuses all queued calls, because the queue is closing. Retry-After of each is when it would have been dispatched, since
// level and pause go on in the next process.
func (s *state) closeOut(now time.Time) {
	s.closed = true
	f := s.forecast(now)
	var calls []*call
	var after []time.Duration
	for c, at := f.next(); c != nil; c, at = f.next() {
		calls, after = append(calls, c), append(after, at)
	}
	for i, c := range calls {
		s.remove(c)
		s.Observer.Waited(c.tool.Name, Canceled, now.Sub(c.entered))
		c.ready <- decision{err: &Refusal{Reason: ErrClosed, RetryAfter: max(after[i], leastPause)}}
	}
	s.closedOut += len(calls)
	for _, c := range s.refreshes {
		c.ready <- decision{err: s.closedRefusal(now)}
	}
	s.refreshes = nil
}

// closedRefusal is the refusal of a call that comes after the queue was closed. Its Retry-After is later than those of all calls that
// were queued, since they come again too. The least is for the next process to start.
func (s *state) closedRefusal(now time.Time) *Refusal {
	return &Refusal{Reason: ErrClosed, RetryAfter: max(s.forecast(now).nth(s.closedOut), leastPause)}
}

// changed has the dispatcher ask the bucket anew.
func (s *state) changed() {
	s.tokenAt = time.Time{}
	s.wake()
}

// mean is an exponentially weighted mean of durations.
type mean time.Duration

// add takes an eighth of each new value, as TCP smooths its round trips (RFC 6298): a handful settle it, one does not upset it.
func (m *mean) add(d time.Duration) {
	if *m == 0 {
		*m = mean(d)
		return
	}
	*m += (mean(d) - *m) / 8
}
