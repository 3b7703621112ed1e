package fairqueue_test

import (
	"testing"

	"pgregory.net/rapid"

	"roamproxy/limiter/fairqueue"
)

// A favoured call is dispatched exactly when the better of the two would have been.
//
// Seen to fail with a favour to a call that is dispatched sooner already.
func TestFavourIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flows := drawFlows(t, 4)
		for i := range flows {
			flows[i].Batch = false
		}
		type step struct {
			flow    int
			urgency int64
			leaves  bool
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				rapid.IntRange(0, len(flows)-1).Draw(t, "flow"), rapid.Int64Range(0, 7).Draw(t, "urgency"), rapid.IntRange(0, 3).Draw(t, "leaves") == 0,
			}
		}), 1, 40).Draw(t, "steps")
		which := rapid.IntRange(0, len(steps)-1).Draw(t, "which")
		flow, rank := rapid.SampledFrom(flows).Draw(t, "other"), rapid.Int64Range(0, 7).Draw(t, "its urgency")*10+41
		build := func() (*fairqueue.Queue[int], *fairqueue.Item[int]) { // the same queue each time
			q := fairqueue.New[int]()
			var items []*fairqueue.Item[int]
			for n, s := range steps {
				if s.leaves {
					q.Pop(1, 0)
				}
				items = append(items, q.Push(flows[s.flow], s.urgency*10+int64(n), n))
			}
			return q, items[which]
		}
		leaves := func(q *fairqueue.Queue[int], which *fairqueue.Item[int]) int {
			for n := 0; ; n++ {
				if i := q.Pop(1, 0); i == which {
					return n
				} else if i == nil {
					t.Fatal("the call is not in the queue")
				}
			}
		}
		q, item := build()
		if !item.Queued() {
			return
		}
		want := leaves(q, item)
		q, _ = build()
		want = min(want, leaves(q, q.Push(flow, rank, -1)))
		q, item = build()
		q.Favour(item, flow, rank)
		if got := leaves(q, item); got != want {
			t.Fatalf("favoured, it left as number %d, want %d", got, want)
		}
	})
}
