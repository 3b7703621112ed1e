package limiter

import (
	"cmp"
	"time"

	"roamproxy/limiter/fairqueue"
)

// call is one call that is or was queued.
type call struct {
	item     *fairqueue.Item[*call] // nil before it is queued
	tool     Tool                   // whose flow it is in
	urgency  int
	arrived  time.Time
	entered  time.Time     // this time; a call that Roam refused is queued again
	longest  time.Duration // that it may wait by the forecast, to be admitted
	deadline time.Time     // the earlier of the following two
	promoted time.Time     // urgency no longer matters from here on; zero: it does not any more
	expires  time.Time     // it is refused
	due      int           // in state.deadlines
	ready    chan decision // of one place, so that the dispatcher does not wait for the call to take it
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
