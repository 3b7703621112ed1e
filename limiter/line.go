package limiter

import (
	"math"
	"time"
)

// line is the order in which calls leave: start-time fair queueing (Goyal, Vin and Cheng, 1996) over tools, and inside a
// tool's lane arrival and urgency. It is plain data: the Queue that owns it holds the lock and knows the time.
//
// Virtual time counts turns, in whole parts, so that what find foretells by multiplying is what pop reaches by adding. The
// next call of each lane carries a start tag; the smallest tag leaves, virtual time becomes that tag, and the lane's next tag
// is one turn, divided by the tool's weight, later. A tool that was idle joins at the present virtual time: it goes before
// every call that stands for a second turn of its tool, and it has saved up nothing.
type line struct {
	now     int64 // virtual time: the tag of the call that left last
	lanes   map[string]*lane
	order   order[*lane] // the same lanes, the next to have a turn first
	count   uint64       // lanes and calls so far, which settles ties by arrival
	waiting int
}

func newLine() line {
	return line{lanes: make(map[string]*lane), order: order[*lane]{
		before: func(a, b *lane) bool { return a.tag < b.tag || a.tag == b.tag && a.seq < b.seq },
		stands: func(f *lane, i int) { f.index = i },
	}}
}

// turn is a tool's turn of weight 1 in parts of virtual time. A weight of 1000, the largest, is exact to a millionth of its
// share, and 8 billion turns fit before virtual time, which starts again whenever the line is empty, would overflow.
const turn = 1 << 30

// cost is what one call of the tool moves its tag by.
func (t Tool) cost() int64 { return turn / int64(max(t.Weight, 1)) }

// lane is one tool's own line. An empty lane is kept while its tag is ahead of virtual time, that is as long as the tool
// owes for a turn it has just had; a tool that asks for one call at a time would otherwise overtake all others.
type lane struct {
	tool      Tool
	tag       int64 // start tag of its next call
	seq       uint64
	index     int // in line.order
	calls     order[*call]
	urgencies [mildest + 1]int // waiting calls of each urgency, so that most newcomers need not look for their place
}

func newLane(seq uint64) *lane {
	return &lane{seq: seq, calls: order[*call]{before: (*call).before, stands: func(c *call, i int) { c.index = i }}}
}

// call is one call that waits.
type call struct {
	lane    *lane
	urgency int
	spare   bool  // not in the line: it goes at once or not at all
	again   bool  // Roam refused it: it stands at the front of its lane, and that turn was not charged
	tag     int64 // start tag of the turn it had last
	rank    int64 // arrival plus the urgency's worth, in nanoseconds; the smaller leaves first
	seq     uint64
	index   int // in lane.calls; -1 when it does not wait
	due     int // in Queue.deadlines
	age     int // in Queue.arrivals

	arrived  time.Time // in the line for the first time
	entered  time.Time // in the line this time
	deadline time.Time
	ready    chan verdict // of one place, so that nobody waits for the call to take it
}

// Urgencies of RFC 9218, section 4.1: from 0, the most urgent, to 7.
const (
	Usual   = 3 // what a call without one has
	mildest = 7
)

// urgencyStep is what one step of urgency is worth: such a call counts as having come this much earlier, so that urgency
// helps and nothing starves.
const urgencyStep = 10 * time.Second

func rank(arrived time.Duration, urgency int) int64 {
	return int64(arrived) + int64(urgency)*int64(urgencyStep)
}

// before is the order inside a lane.
func (c *call) before(o *call) bool {
	switch {
	case c.again != o.again:
		return c.again
	case c.rank != o.rank:
		return c.rank < o.rank
	default:
		return c.seq < o.seq
	}
}

// push lets c into the lane of t.
func (l *line) push(c *call, t Tool) {
	f := l.lanes[t.Name]
	if f == nil {
		l.count++
		f = newLane(l.count)
		l.lanes[t.Name] = f
		l.order.push(f)
	}
	f.tool = t // a reload may have changed the weight
	if f.calls.Len() == 0 {
		f.tag = max(f.tag, l.now)
	}
	if c.again {
		f.tag = min(f.tag, c.tag)
	}
	l.order.fix(f.index)
	l.count++
	c.lane, c.seq = f, l.count
	f.calls.push(c)
	f.urgencies[c.urgency]++
	l.waiting++
}

// pop takes the call whose turn it is out of the line; nil when nobody waits.
func (l *line) pop() *call {
	for l.order.Len() > 0 {
		f := l.order.first()
		if f.calls.Len() == 0 { // virtual time has caught up with what it owed
			l.drop(f)
			continue
		}
		c := f.calls.first()
		f.calls.take(0)
		c.tag = f.tag
		l.now = max(l.now, f.tag)
		f.tag += f.tool.cost()
		l.order.fix(f.index)
		l.left(c)
		return c
	}
	return nil
}

// remove takes c out, wherever it stands. Its tool is not charged.
func (l *line) remove(c *call) {
	c.lane.calls.take(c.index)
	l.left(c)
}

func (l *line) left(c *call) {
	c.lane.urgencies[c.urgency]--
	l.waiting--
	if l.waiting == 0 { // nobody is there to be unfair to
		clear(l.lanes)
		clear(l.order.all)
		l.order.all, l.now = l.order.all[:0], 0
	}
}

func (l *line) drop(f *lane) {
	l.order.take(f.index)
	delete(l.lanes, f.tool.Name)
}

// place is where a call would stand.
type place struct {
	total int // calls of all tools that leave before it
	lane  int // calls that wait in its own lane
}

// start is where in virtual time a call of t that came now would begin: the start tag of its turn, the seq of its lane, and how
// many of its own lane go before it.
func (l *line) start(t Tool, urgency int, rank int64) (tag int64, seq uint64, before int) {
	own := l.lanes[t.Name]
	if own == nil {
		return l.now, math.MaxUint64, 0
	}
	tag = own.tag
	if own.calls.Len() == 0 {
		tag = max(own.tag, l.now)
	}
	before = own.before(urgency, rank)
	return tag + int64(before)*t.cost(), own.seq, before
}

// find says where a call of t that came now would stand, by following the tags of each lane: O(lanes), and within its own
// lane O(1) unless somebody milder waits there.
func (l *line) find(t Tool, urgency int, rank int64) place {
	start, seq, before := l.start(t, urgency, rank)
	p := place{total: before}
	for _, f := range l.order.all {
		if f.seq == seq {
			p.lane = f.calls.Len()
			continue
		}
		p.total += f.turnsUntil(start, seq)
	}
	return p
}

// favour gives c, which waits, the better of its own place and that of a call of t that came now: as if the two, who ask for
// the same, had each stood in the line and whoever came first had left for both. O(log n) in its own lane; for another tool's
// the calls of its own are counted once.
func (l *line) favour(c *call, t Tool, urgency int, rank int64) {
	if c.again { // already at the front, with a turn that was paid for
		return
	}
	own := c.lane
	if t.Name != own.tool.Name && l.waiting > 1 && (t.MaxQueue <= 0 || l.lengthOf(t) < t.MaxQueue) {
		tag, seq, _ := l.start(t, urgency, rank)
		ahead := 0
		for _, o := range own.calls.all {
			if o.before(c) {
				ahead++
			}
		}
		if mine := own.tag + int64(ahead)*own.tool.cost(); tag < mine || tag == mine && seq < own.seq {
			l.remove(c)
			c.urgency, c.rank = urgency, rank
			l.push(c, t)
		}
		return
	}
	if t.Name == own.tool.Name && rank < c.rank {
		own.urgencies[c.urgency]--
		own.urgencies[urgency]++
		l.count++
		c.urgency, c.rank, c.seq = urgency, rank, l.count
		own.calls.fix(c.index)
	}
}

func (l *line) lengthOf(t Tool) int {
	if f := l.lanes[t.Name]; f != nil {
		return f.calls.Len()
	}
	return 0
}

// before counts the lane's calls that a newcomer of this urgency and rank stands behind.
func (f *lane) before(urgency int, rank int64) int {
	milder := 0
	for _, n := range f.urgencies[urgency+1:] {
		milder += n
	}
	if milder == 0 {
		return f.calls.Len()
	}
	n := 0
	for _, c := range f.calls.all {
		if c.again || c.rank <= rank {
			n++
		}
	}
	return n
}

// turnsUntil counts the waiting calls of f whose start tags are smaller than tag, or equal in a lane that came before seq.
func (f *lane) turnsUntil(tag int64, seq uint64) int {
	if f.calls.Len() == 0 || f.tag > tag || f.tag == tag && f.seq > seq {
		return 0
	}
	gap, cost := tag-f.tag, f.tool.cost()
	n := gap / cost
	if gap%cost != 0 || f.seq < seq { // of two calls with the same tag, that of the lane that came first goes first
		n++
	}
	return int(min(n, int64(f.calls.Len())))
}
