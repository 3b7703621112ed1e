package limiter

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"roamproxy/limiter/fairqueue"
)

// state is all that a Queue's lock guards: the queued calls, the calls in flight, the pause and the bucket. Its methods are
// arithmetic. They never lock and never wait, and the caller of each holds the lock.
type state struct {
	Options
	bucket  *Adaptive
	sharing Sharing
	wake    func()    // the dispatcher should look again
	epoch   time.Time // ranks count from here

	calls     *fairqueue.Queue[*call]
	deadlines deadlines
	promises  promises
	latest    forecast  // its memory is for the next one
	refreshes []*call   // background calls that the dispatcher answers at once
	inFlight  []*Permit // that hold a slot, the earliest first
	held      mean      // how long a slot is held
	delays    delays
	pause     pause
	tokenAt   time.Time     // the bucket said that there is no token before this
	tokenFor  float64       // for a call that leaves so large a reserve
	returned  int           // tokens whose calls left in the moment of their dispatch
	sleeps    time.Time     // the dispatcher looks again by itself at this time
	asleep    time.Duration // that the machine was suspended since the process began
	learned   Learned       // what the other replicas know of
	dismissed int           // calls that were queued when the queue was closed, and come again
}

func newState(o Options) state {
	now := o.now()
	s := state{Options: o, bucket: NewAdaptive(o.Bucket, o.Sharing != nil), sharing: o.Sharing, epoch: now, calls: fairqueue.New[*call]()}
	s.latest.calls = fairqueue.New[*call]()
	s.bucket.Switch(o.Adapt)
	s.bucket.SetLearned(o.Learned)
	s.pause.state = PauseOpen
	if o.Paused != 0 {
		paused := min(o.Paused, o.MaxPause)
		s.pause.begin(now, paused)
		s.bucket.Paused(now)
		o.Observer.PauseBegan(max(paused, 0))
	}
	return s
}

// call is one call that is or was queued.
type call struct {
	item       *fairqueue.Item[*call] // nil before it is queued
	tool       Tool                   // whose flow it is in
	urgency    int
	background bool // not queued: it goes at once or not at all
	arrived    time.Time
	entered    time.Time     // this time; a call that Roam refused is queued again
	longest    time.Duration // that it may wait by the forecast, to be admitted
	deadline   time.Time     // the earlier of the following two
	promoted   time.Time     // urgency no longer matters from here on; zero: it does not any more
	expires    time.Time     // it is refused
	due        int           // in state.deadlines
	ready      chan decision // of one place, so that the dispatcher does not wait for the call to take it
}

type decision struct {
	permit *Permit
	err    error
}

// newCall returns what caller asks for at now.
func (s *state) newCall(now time.Time, caller Caller) *call {
	longest := cmp.Or(caller.MaxWait, s.MaxWait)
	c := &call{
		tool: caller.Tool, urgency: min(max(caller.Urgency, 0), mildest),
		arrived: now, entered: now, promoted: now.Add(longest), expires: now.Add(2 * longest), longest: longest,
		ready: make(chan decision, 1),
	}
	if own := caller.Longest; own >= 0 {
		c.longest = min(longest, own)
		c.expires = now.Add(min(own, 2*longest))
	}
	c.next()
	return c
}

// next sets the deadline to what comes first.
func (c *call) next() {
	if c.deadline = c.expires; !c.promoted.IsZero() && c.promoted.Before(c.expires) {
		c.deadline = c.promoted
	}
}

// urgencyStep is what one step of urgency is worth: such a call counts as having come this much earlier.
const urgencyStep = 10 * time.Second

// rank is the order of a tool's own calls: arrival plus the urgency's worth.
func (s *state) rank(arrived time.Time, urgency int) int64 {
	return int64(arrived.Sub(s.epoch) + time.Duration(urgency)*urgencyStep)
}

// enter queues an admitted call. The dispatcher is woken only when it would otherwise sleep past something new.
func (s *state) enter(c *call) {
	if s.calls.Len() == 0 && s.pause.state == PauseOpen {
		s.bucket.Idle(c.entered)
	}
	if s.calls.Len() == 0 && s.bucket.Level(c.entered) > s.bucket.Limits(c.entered).Burst-lacks {
		s.delays.longest = 0
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

// favour makes c at least as well off as a call that caller made now.
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

// step is what the dispatcher does next.
type step struct {
	sleep    time.Duration // nothing, for this long
	returned int           // tokens to be put back
	take     bool          // ask the bucket
	demand   Demand        // for this
	refresh  *call         // the background call that the token is for; nil: the first queued call
	wait     time.Duration // what the bucket answered
}

// next decides what to do at now. A call whose token is there goes even if its wait has just ended, or ended while the process
// was stopped: its tool may wait still.
func (s *state) next(now time.Time) (n step) {
	n.returned, s.returned = s.returned, 0
	if n.returned > 0 {
		s.tokenAt = time.Time{}
	}
	if len(s.refreshes) > 0 {
		n.refresh = s.refreshes[0]
		s.refreshes = s.refreshes[1:]
		n.take, n.demand = s.isIdle(now), s.demand(now)
		n.demand.Margin += min(spare, s.bucket.Limits(now).Burst-1)
		return n
	}
	blocked, wait := s.blocked(now)
	if n.take = !blocked; n.take {
		n.demand = s.demand(now)
	} else if n.returned == 0 {
		s.expire(now)
		n.sleep = s.sleep(now, wait)
	}
	return n
}

// demand is what the next call asks of the bucket.
func (s *state) demand(now time.Time) Demand {
	d := Demand{Calls: s.calls.Len(), Margin: s.margin(now)}
	if need := s.calls.Need(s.reserve(now)); d.Calls > 0 {
		d.Reserve = need - 1
	}
	for f := range s.calls.Flows() {
		d.Weight += max(f.Weight, 1)
	}
	return d
}

// reserve returns how many tokens batch tools leave to the others: never so many that their calls could not be sent at all.
func (s *state) reserve(now time.Time) float64 {
	burst := s.bucket.Limits(now).Burst
	return max(min(s.Reserve*burst, burst-1-s.margin(now)), 0)
}

// blocked reports whether no call could leave at now even with a token, and how long until a token or the end of a pause could
// change that; 0 when neither would.
func (s *state) blocked(now time.Time) (bool, time.Duration) {
	switch {
	case s.calls.Len() == 0 || len(s.inFlight) >= s.bucket.Slots(s.MaxInFlight) || s.pause.state == PauseProbing:
		return true, 0
	case s.pause.lasts(now) > 0:
		return true, s.pause.lasts(now)
	case now.Before(s.tokenAt) && s.calls.Need(s.reserve(now)) >= 1+s.tokenFor:
		return true, s.tokenAt.Sub(now)
	}
	return false, 0
}

// mostSleep is how long the dispatcher sleeps while calls are queued: its timer stands still while the machine is suspended.
const mostSleep = time.Second

// resumed lets the time that the machine was suspended count for pauses and tokens, but not for the calls: their tools were
// suspended with it, and those that are still connected want their answers.
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

// sleep returns the shorter of wait, where there is one, and the time to the next deadline.
func (s *state) sleep(now time.Time, wait time.Duration) time.Duration {
	if wait == 0 {
		wait = rest
	}
	if len(s.deadlines) > 0 {
		wait = min(wait, max(s.deadlines[0].deadline.Sub(now), 1), mostSleep)
	}
	s.sleeps = now.Add(wait)
	return wait
}

// pop removes the call that the token which was just taken is for; nil: none may leave any more.
func (s *state) pop(now time.Time, d Demand) *call {
	s.tokenAt = time.Time{}
	if blocked, _ := s.blocked(now); blocked {
		return nil
	}
	item := s.calls.Pop(1+d.Reserve, s.reserve(now))
	if item == nil {
		return nil
	}
	heap.Remove(&s.deadlines, item.Value.due)
	return item.Value
}

// permit gives c leave to be sent.
func (s *state) permit(now time.Time, q *Queue, c *call) *Permit {
	p := &Permit{Waited: now.Sub(c.entered), queue: q, call: c, bucket: s.bucket, generation: s.pause.generation, left: now, sample: s.bucket.Sent(now)}
	if s.pause.state == PauseShut {
		s.pause.state, p.probe = PauseProbing, true
	}
	s.inFlight = append(s.inFlight, p)
	s.Observer.Waited(c.tool.Name, Sent, p.Waited)
	return p
}

// vacate frees the slot of p.
func (s *state) vacate(p *Permit) {
	i := slices.Index(s.inFlight, p)
	s.inFlight = slices.Delete(s.inFlight, i, i+1)
}

// dismiss refuses all queued calls, because the queue is closing. Each is told when it would have been dispatched: level and pause
// go on in the next process.
func (s *state) dismiss(now time.Time) {
	f := s.forecast(now)
	var calls []*call
	var after []time.Duration
	for c, at := f.next(); c != nil; c, at = f.next() {
		calls, after = append(calls, c), append(after, at)
	}
	for i, c := range calls {
		s.remove(c)
		waited := now.Sub(c.entered)
		s.Observer.Waited(c.tool.Name, Canceled, waited)
		c.ready <- decision{err: &Refusal{Reason: ErrClosed, RetryAfter: max(after[i], leastPause), Waited: waited}}
	}
	s.dismissed += len(calls)
	for _, c := range s.refreshes {
		c.ready <- decision{err: s.dismissal(now, 0)}
	}
	s.refreshes = nil
}

// dismissal is the refusal of a call that comes after the queue was closed. It is told the time after all that were dismissed
// before it, since they come again too. The least is for the next process to start.
func (s *state) dismissal(now time.Time, waited time.Duration) *Refusal {
	return &Refusal{Reason: ErrClosed, RetryAfter: max(s.forecast(now).nth(s.dismissed), leastPause), Waited: waited}
}

// changed has the dispatcher ask the bucket anew.
func (s *state) changed() {
	s.tokenAt = time.Time{}
	s.wake()
}

// deadlines is a heap of the queued calls, the one whose longest wait ends first on top.
type deadlines []*call

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].deadline.Before(d[j].deadline) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].due, d[j].due = i, j
}

// Push adds a call, for container/heap.
func (d *deadlines) Push(x any) {
	c := x.(*call)
	c.due = len(*d)
	*d = append(*d, c)
}

// Pop removes the last call, for container/heap.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	c := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return c
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
