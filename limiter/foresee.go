package limiter

import "math"

// foresee says how many of those who wait now leave before a call of t that comes once so many of them are gone, if nobody else
// comes: never fewer than for one that comes sooner. It may say a turn of each tool more, for where several tools' calls stand
// for the same turn they are all taken as gone with the first.
func (l *line) foresee(t Tool, urgency int, rank int64, gone int) int {
	if gone >= l.waiting {
		return l.waiting
	}
	reached := l.reached(gone)
	tag, seq, before := reached, uint64(math.MaxUint64), 0
	if own := l.lanes[t.Name]; own != nil {
		n, left := own.calls.Len(), own.turnsUntil(reached, math.MaxUint64)
		if next := own.tag + int64(n)*t.cost(); left < n || next > reached { // its lane is there still
			before = max(own.before(urgency, rank), left)
			tag, seq = own.tag+int64(before)*t.cost(), own.seq
		} else {
			before = n
		}
	}
	for _, f := range l.order.all {
		if f.tool.Name != t.Name {
			before += f.turnsUntil(tag, seq)
		}
	}
	return before
}

// reached is virtual time when so many have left.
func (l *line) reached(gone int) int64 {
	low, high := l.now, l.now
	for _, f := range l.order.all {
		high = max(high, f.tag+int64(f.calls.Len())*f.tool.cost())
	}
	for low < high {
		middle, n := low+(high-low)/2, 0
		for _, f := range l.order.all {
			n += f.turnsUntil(middle, math.MaxUint64)
		}
		if n >= gone {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// until counts the calls that leave before the one of f's lane that has so many of its own before it.
func (l *line) until(f *lane, own int) int {
	tag := f.tag + int64(own)*f.tool.cost()
	for _, o := range l.order.all {
		if o != f {
			own += o.turnsUntil(tag, f.seq)
		}
	}
	return own
}
