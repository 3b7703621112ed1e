// Package fairqueue orders the waiting calls of several tools: start-time fair queueing (Goyal, Vin and Cheng, 1996) between
// tools, urgency and arrival within one tool. It is plain data. It has no lock and no clock, and its owner says how many tokens
// there are.
//
// The next call of each flow carries a start tag. The call with the smallest tag is dispatched, virtual time becomes that tag, and
// the flow's next tag is later by the cost of a call, divided by its weight. A flow that was idle begins at the present virtual time:
// its call is dispatched before the second call of every other flow, and it has saved up nothing.
//
//	flows     tag  calls (by rank)
//	exporter  7    e1 e2 e3        batch: needs reserve + 1 tokens, or to be late by as many calls
//	bot       6    b1              ◄── next, with one token
package fairqueue

import (
	"iter"
	"math"
	"slices"
)

// Flow describes a tool's part of the queue. The same name always comes with the same values, but for a reload.
type Flow struct {
	Name   string
	Weight int  // share of the quota while others wait too; below 1 counts as 1
	Batch  bool // leaves the reserve to the others
}

// unit is what a call of weight 1 costs in virtual time. A weight of 1000, the largest, is exact to a millionth of its share. Eight
// billion calls fit before virtual time would overflow, and it starts again whenever the queue is empty.
const unit = 1 << 30

func (f Flow) cost() int64 { return unit / int64(max(f.Weight, 1)) }

// Queue is the order of all queued calls. The zero value is not usable; see New.
type Queue[T any] struct {
	now    int64 // virtual time: the largest tag dispatched
	seq    uint64
	length int
	flows  map[string]*flow[T]
	groups [idle + 1]flowHeap[T]
	copied bool      // a copy does not mark items, which are the original's
	memory []flow[T] // of the flows of a copy
}

// New returns an empty queue.
func New[T any]() *Queue[T] { return &Queue[T]{flows: make(map[string]*flow[T])} }

// Len returns the number of queued calls.
func (q *Queue[T]) Len() int { return q.length }

// FlowLen returns the number of queued calls of the named flow.
func (q *Queue[T]) FlowLen(name string) int {
	if f := q.flows[name]; f != nil {
		return len(f.items)
	}
	return 0
}

// Flows iterates over the flows that have queued calls, and how many each has.
func (q *Queue[T]) Flows() iter.Seq2[Flow, int] {
	return func(yield func(Flow, int) bool) {
		for _, f := range q.flows {
			if len(f.items) > 0 && !yield(f.Flow, len(f.items)) {
				return
			}
		}
	}
}

// Push adds a call to flow f. Within the flow the smallest rank is dispatched first, and of equal ranks the one pushed first.
func (q *Queue[T]) Push(f Flow, rank int64, value T) *Item[T] {
	i := &Item[T]{Value: value, key: key{class: ordinary, rank: rank}}
	q.insert(i, q.flow(f))
	return i
}

// Return puts a dispatched call at the front of its flow, with the start tag that it had. The flow is not charged again.
func (q *Queue[T]) Return(i *Item[T]) {
	i.key.class = returned
	f := q.flow(i.flow.Flow)
	f.tag = min(f.tag, i.tag)
	q.insert(i, f)
}

// Promote moves a queued call before all calls of its flow that were neither returned nor promoted earlier.
func (q *Queue[T]) Promote(i *Item[T]) {
	if i.gone || i.key.class != ordinary {
		return
	}
	i.flow.take(i)
	i.key.class = promoted
	i.flow.put(i)
}

// flow returns the flow described by f, which begins or goes on at the present virtual time.
func (q *Queue[T]) flow(f Flow) *flow[T] {
	own := q.flows[f.Name]
	if own == nil {
		q.seq++
		own = &flow[T]{seq: q.seq}
		q.flows[f.Name] = own
	}
	own.Flow = f // a reload may have changed it
	if len(own.items) == 0 {
		own.tag = max(own.tag, q.now)
	}
	return own
}

func (q *Queue[T]) insert(i *Item[T], f *flow[T]) {
	q.seq++
	i.flow, i.gone, i.key.seq = f, false, q.seq
	f.put(i)
	q.length++
	q.place(f)
}

// place puts f where it belongs, after its tag or its calls have changed.
func (q *Queue[T]) place(f *flow[T]) {
	want := regular
	if len(f.items) == 0 {
		want = idle
	} else if f.Batch {
		want = batch
	}
	if f.group == want {
		q.groups[want].fix(f.index)
		return
	}
	if f.group != none {
		q.groups[f.group].remove(f.index)
	}
	f.group = want
	q.groups[want].add(f)
}

// Need returns how many tokens the next dispatch needs: 1, or reserve more when only batch flows wait that are not late. It
// returns +Inf for an empty queue.
func (q *Queue[T]) Need(reserve float64) float64 {
	late := q.first(batch)
	switch {
	case q.length == 0:
		return math.Inf(1)
	case q.first(regular) != nil || q.isLate(late, reserve):
		return 1
	}
	return 1 + reserve
}

// first returns the flow of a group whose call is next, or nil.
func (q *Queue[T]) first(g group) *flow[T] {
	if len(q.groups[g]) == 0 {
		return nil
	}
	return q.groups[g][0]
}

// isLate reports whether f is behind virtual time by as many calls as it leaves tokens to the others. It may then use them, so that
// no flow starves.
func (q *Queue[T]) isLate(f *flow[T], reserve float64) bool {
	return float64(q.now-f.tag) >= reserve*unit
}

// Pop removes and returns the next call that tokens suffice for, or nil.
func (q *Queue[T]) Pop(tokens, reserve float64) *Item[T] {
	f, late := q.first(regular), q.first(batch)
	if late != nil && (tokens >= 1+reserve || q.isLate(late, reserve)) && (f == nil || late.before(f)) {
		f = late
	}
	if f == nil || tokens < 1 {
		return nil
	}
	i := f.items[0]
	if !q.copied {
		f.items[0] = nil
		i.tag, i.gone = f.tag, true
	}
	f.items = f.items[1:]
	q.now = max(q.now, f.tag)
	f.tag += f.cost()
	q.place(f)
	q.left()
	return i
}

// Remove takes a call out of the queue, whatever its position. Its flow is not charged.
func (q *Queue[T]) Remove(i *Item[T]) {
	if i.gone {
		return
	}
	i.flow.take(i)
	i.gone = true
	q.place(i.flow)
	q.left()
}

// left counts one call less, and drops the idle flows that virtual time has caught up with. After the last call virtual time begins
// anew, since no other flow has a claim.
func (q *Queue[T]) left() {
	q.length--
	for f := q.first(idle); f != nil && (f.tag <= q.now || q.length == 0); f = q.first(idle) {
		q.groups[idle].remove(0)
		delete(q.flows, f.Name)
	}
	if q.length == 0 {
		q.now = 0
	}
}

// Favour gives a queued call the better of its own place and that of a call of flow f with this rank pushed now: as if both had
// been queued and the first dispatched had served both. It reports whether the call moved.
func (q *Queue[T]) Favour(i *Item[T], f Flow, rank int64) bool {
	if i.gone || i.key.class == returned {
		return false
	}
	own := i.flow
	if f.Name == own.Name {
		if rank >= i.key.rank {
			return false
		}
	} else if !q.isSooner(f, rank, i) {
		return false
	}
	own.take(i)
	q.place(own)
	q.length--
	i.key.rank = rank
	q.insert(i, q.flow(f))
	return true
}

// isSooner reports whether a call of f with this rank would be dispatched before i.
func (q *Queue[T]) isSooner(f Flow, rank int64, i *Item[T]) bool {
	if own := i.flow; own.Batch != f.Batch {
		return own.Batch
	}
	if q.length == 1 {
		return false
	}
	tag, seq := q.now, uint64(math.MaxUint64)
	if o := q.flows[f.Name]; o != nil {
		tag, seq = o.tag, o.seq
		if len(o.items) == 0 {
			tag = max(tag, q.now)
		}
		tag += int64(o.find(key{ordinary, rank, math.MaxUint64})) * f.cost()
	}
	mine := i.flow.tag + int64(i.flow.find(i.key))*i.flow.cost()
	return tag < mine || tag == mine && seq < i.flow.seq
}

// Copy makes q a copy of another queue, in which a forecast can push and pop as long as the original does not change. It uses the
// memory of q again. The original's items must not be given to the copy, nor the copy's to the original.
func (q *Queue[T]) Copy(from *Queue[T]) {
	q.now, q.seq, q.length, q.copied = from.now, from.seq, from.length, true
	clear(q.flows)
	q.memory = slices.Grow(q.memory[:0], len(from.flows))
	for g, flows := range from.groups {
		q.groups[g] = q.groups[g][:0]
		for _, f := range flows {
			q.memory = append(q.memory, *f)
			own := &q.memory[len(q.memory)-1]
			own.items = f.items[:len(f.items):len(f.items)] // to insert a call is to copy them
			q.groups[g] = append(q.groups[g], own)
			q.flows[f.Name] = own
		}
	}
}
