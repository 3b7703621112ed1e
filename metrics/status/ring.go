package status

import "iter"

// ring keeps the latest values, at most max. It is not safe for concurrent use.
type ring[T any] struct {
	max   int
	items []T
	next  int // index of the next value, once the ring is full
}

func newRing[T any](most int) ring[T] { return ring[T]{max: most} }

func (r *ring[T]) add(v T) {
	if len(r.items) < r.max {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % r.max
}

// backward returns the values from the newest to the oldest.
func (r *ring[T]) backward() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range r.items {
			at := (r.next - 1 - i + 2*len(r.items)) % len(r.items)
			if !yield(&r.items[at]) {
				return
			}
		}
	}
}

// newest returns the value that was added last, or nil.
func (r *ring[T]) newest() *T {
	for v := range r.backward() {
		return v
	}
	return nil
}
