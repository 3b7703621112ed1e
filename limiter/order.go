package limiter

import "container/heap"

// order is a heap whose members know where they stand, so that any of them can be taken out of the middle or put right. A
// member of several orders has a place in each.
type order[T any] struct {
	all    []T
	before func(a, b T) bool
	stands func(T, int) // tells a member its place; -1 when it is out
}

// first is the member that goes before all others; there must be one.
func (o *order[T]) first() T { return o.all[0] }

func (o *order[T]) push(x T)           { heap.Push(o, x) }
func (o *order[T]) take(i int)         { heap.Remove(o, i) }
func (o *order[T]) fix(i int)          { heap.Fix(o, i) }
func (o *order[T]) Len() int           { return len(o.all) }
func (o *order[T]) Less(i, j int) bool { return o.before(o.all[i], o.all[j]) }

// Swap, Push and Pop are for container/heap.
func (o *order[T]) Swap(i, j int) {
	o.all[i], o.all[j] = o.all[j], o.all[i]
	o.stands(o.all[i], i)
	o.stands(o.all[j], j)
}

func (o *order[T]) Push(x any) {
	o.stands(x.(T), len(o.all))
	o.all = append(o.all, x.(T))
}

func (o *order[T]) Pop() any {
	last := len(o.all) - 1
	x := o.all[last]
	var none T
	o.all[last] = none
	o.all = o.all[:last]
	o.stands(x, -1)
	return x
}
