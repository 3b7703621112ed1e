package limiter

import (
	"container/heap"
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
	order   laneHeap // the same lanes, the next to have a turn first
	count   uint64   // lanes and calls so far, which settles ties by arrival
	waiting int
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
	calls     callHeap
	urgencies [mildest + 1]int // waiting calls of each urgency, so that most newcomers need not look for their place
}

// call is one call that waits.
type call struct {
	lane    *lane
	urgency int
	again   bool  // Roam refused it: it stands at the front of its lane, and that turn was not charged
	tag     int64 // start tag of the turn it had last
	rank    int64 // arrival plus the urgency's worth, in nanoseconds; the smaller leaves first
	seq     uint64
	index   int // in lane.calls
	due     int // in Queue.deadlines

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
		f = &lane{seq: l.count}
		l.lanes[t.Name] = f
		heap.Push(&l.order, f)
	}
	f.tool = t // a reload may have changed the weight
	if len(f.calls) == 0 {
		f.tag = max(f.tag, l.now)
	}
	if c.again {
		f.tag = min(f.tag, c.tag)
	}
	heap.Fix(&l.order, f.index)
	l.count++
	c.lane, c.seq = f, l.count
	heap.Push(&f.calls, c)
	f.urgencies[c.urgency]++
	l.waiting++
}

// pop takes the call whose turn it is out of the line; nil when nobody waits.
func (l *line) pop() *call {
	for len(l.order) > 0 {
		f := l.order[0]
		if len(f.calls) == 0 { // virtual time has caught up with what it owed
			l.drop(f)
			continue
		}
		c := heap.Pop(&f.calls).(*call)
		c.tag = f.tag
		l.now = max(l.now, f.tag)
		f.tag += f.tool.cost()
		heap.Fix(&l.order, f.index)
		l.left(c)
		return c
	}
	return nil
}

// remove takes c out, wherever it stands. Its tool is not charged.
func (l *line) remove(c *call) {
	heap.Remove(&c.lane.calls, c.index)
	l.left(c)
}

func (l *line) left(c *call) {
	c.lane.urgencies[c.urgency]--
	l.waiting--
	if l.waiting == 0 { // nobody is there to be unfair to
		clear(l.lanes)
		clear(l.order)
		l.order, l.now = l.order[:0], 0
	}
}

func (l *line) drop(f *lane) {
	heap.Remove(&l.order, f.index)
	delete(l.lanes, f.tool.Name)
}

// place is where a call would stand.
type place struct {
	total int // calls of all tools that leave before it
	lane  int // calls that wait in its own lane
	first int // calls that leave before the lane's head, which makes room in the lane
}

// find says where a call of t that came now would stand, by following the tags of each lane: O(lanes), and within its own
// lane O(1) unless somebody milder waits there.
func (l *line) find(t Tool, urgency int, rank int64) place {
	own, tag, seq := l.lanes[t.Name], l.now, uint64(math.MaxUint64)
	before := 0
	if own != nil {
		seq = own.seq
		if len(own.calls) > 0 {
			tag = own.tag
		} else {
			tag = max(own.tag, l.now)
		}
		before = own.before(urgency, rank)
	}
	p := place{total: before}
	start := tag + int64(before)*t.cost()
	for _, f := range l.order {
		if f == own {
			p.lane = len(f.calls)
			continue
		}
		p.total += f.turnsUntil(start, seq)
		p.first += f.turnsUntil(tag, seq)
	}
	return p
}

// before counts the lane's calls that a newcomer of this urgency and rank stands behind.
func (f *lane) before(urgency int, rank int64) int {
	milder := 0
	for _, n := range f.urgencies[urgency+1:] {
		milder += n
	}
	if milder == 0 {
		return len(f.calls)
	}
	n := 0
	for _, c := range f.calls {
		if c.again || c.rank <= rank {
			n++
		}
	}
	return n
}

// turnsUntil counts the waiting calls of f whose start tags are smaller than tag, or equal in a lane that came before seq.
func (f *lane) turnsUntil(tag int64, seq uint64) int {
	if len(f.calls) == 0 || f.tag > tag || f.tag == tag && f.seq > seq {
		return 0
	}
	gap, cost := tag-f.tag, f.tool.cost()
	n := gap / cost
	if gap%cost != 0 || f.seq < seq { // of two calls with the same tag, that of the lane that came first goes first
		n++
	}
	return int(min(n, int64(len(f.calls))))
}

type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	if h[i].tag != h[j].tag {
		return h[i].tag < h[j].tag
	}
	return h[i].seq < h[j].seq
}
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *laneHeap) Push(x any) {
	f := x.(*lane)
	f.index = len(*h)
	*h = append(*h, f)
}
func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return f
}

type callHeap []*call

func (h callHeap) Len() int           { return len(h) }
func (h callHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h callHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *callHeap) Push(x any) {
	c := x.(*call)
	c.index = len(*h)
	*h = append(*h, c)
}
func (h *callHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// deadlineHeap holds every waiting call, the one whose longest wait ends first on top.
type deadlineHeap []*call

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].due, h[j].due = i, j
}
func (h *deadlineHeap) Push(x any) {
	c := x.(*call)
	c.due = len(*h)
	*h = append(*h, c)
}
func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
