package status

import "iter"

// ring keeps the last few of something. It belongs to whoever guards it.
type ring[T any] struct {
	most  int
	items []T
	next  int // where the next goes once it is full
}

func newRing[T any](most int) ring[T] { return ring[T]{most: most} }

func (r *ring[T]) add(v T) {
	if len(r.items) < r.most {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % r.most
}

// backward goes from the newest to the oldest.
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

// newest is the last that was added, or nil.
func (r *ring[T]) newest() *T {
	for v := range r.backward() {
		return v
	}
	return nil
}
