package fairqueue

import "slices"

// Item is a queued call.
type Item[T any] struct {
	Value T

	flow *flow[T]
	tag  int64 // start tag at its latest dispatch
	key  key
	gone bool // not in the queue
}

// Flow returns the description of the flow that the item is, or was last, in.
func (i *Item[T]) Flow() Flow { return i.flow.Flow }

// Queued reports whether the item is in the queue.
func (i *Item[T]) Queued() bool { return !i.gone }

// key is the order within a flow.
type key struct {
	class class
	rank  int64
	seq   uint64
}

type class int

const (
	returned class = iota // was dispatched before and refused upstream: its flow has paid for it
	promoted              // has waited for so long that urgency no longer matters
	ordinary
)

func (k key) compare(o key) int {
	switch {
	case k.class != o.class:
		return int(k.class - o.class)
	case k.rank < o.rank || k.rank == o.rank && k.seq < o.seq:
		return -1
	case k == o:
		return 0
	}
	return 1
}

// flow is one tool's queue. An empty flow is kept while its tag is ahead of virtual time. A tool that sends one call at a time would
// otherwise overtake all others.
type flow[T any] struct {
	Flow
	tag   int64 // start tag of its next call
	seq   uint64
	group group
	index int // in the heap of its group
	items []*Item[T]
}

// group says in which heap a flow is.
type group int

const (
	none group = iota
	regular
	batch
	idle // without calls: dropped once virtual time reaches its tag
)

// find returns the position of k in the flow.
func (f *flow[T]) find(k key) int {
	i, _ := slices.BinarySearchFunc(f.items, k, func(o *Item[T], k key) int { return o.key.compare(k) })
	return i
}

func (f *flow[T]) put(i *Item[T]) { f.items = slices.Insert(f.items, f.find(i.key), i) }

func (f *flow[T]) take(i *Item[T]) {
	at := f.find(i.key)
	f.items = slices.Delete(f.items, at, at+1)
}

func (f *flow[T]) before(o *flow[T]) bool { return f.tag < o.tag || f.tag == o.tag && f.seq < o.seq }

// flowHeap orders flows by the start tag of their next call, and of equal tags the flow that came first. container/heap would call
// through an interface, and compare twice as often: a forecast of 1,000 calls restores the order 1,000 times.
type flowHeap[T any] []*flow[T]

// fix restores the order after the flow at i has changed. That is mostly the first one, whose tag is now among the last. So the
// place at i sinks to the bottom, along the smaller children, and the flow rises from there.
func (h flowHeap[T]) fix(i int) {
	f := h[i]
	for child := 2*i + 1; child < len(h); child = 2*i + 1 {
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		h.set(i, h[child])
		i = child
	}
	for i > 0 && f.before(h[(i-1)/2]) {
		h.set(i, h[(i-1)/2])
		i = (i - 1) / 2
	}
	h.set(i, f)
}

func (h flowHeap[T]) set(i int, f *flow[T]) { h[i], f.index = f, i }

func (h *flowHeap[T]) add(f *flow[T]) {
	*h = append(*h, f)
	h.fix(len(*h) - 1)
}

func (h *flowHeap[T]) remove(i int) {
	all := *h
	last := len(all) - 1
	all.set(i, all[last])
	all[last] = nil
	if *h = all[:last]; i < last {
		h.fix(i)
	}
}
