package fairqueue_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"roamproxy/limiter/fairqueue"
)

// Whatever is pushed, popped, removed, returned and promoted, the queue does what the model does, and so does a copy of it.
func TestQueueIsLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth(t, 5)
		now := int64(0)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			now += rapid.Int64Range(0, 5000).Draw(t, "ms")
			b.step(t, now)
		}
		copied := fairqueue.New[*modelCall]() // of a queue that had other calls before
		for range rapid.IntRange(0, 3).Draw(t, "used before") {
			copied.Push(rapid.SampledFrom(b.flows).Draw(t, "flow"), now, nil)
		}
		copied.Copy(b.q)
		newcomer := rapid.SampledFrom(b.flows).Draw(t, "newcomer")
		copied.Push(newcomer, now, nil)
		var order []*modelCall
		for i := copied.Pop(100, 5); i != nil; i = copied.Pop(100, 5) {
			order = append(order, i.Value)
		}
		last := b.push(newcomer, now)
		for n := 0; len(b.m.calls) > 0; n++ {
			c := b.pop(t, 100, 5)
			if forecast := order[n]; forecast != c && !(forecast == nil && c == last) {
				t.Fatalf("call %d of the copy is %v, and of the queue %v", n, forecast, c)
			}
		}
		if need := b.q.Need(5); !math.IsInf(need, 1) || b.q.Pop(100, 0) != nil {
			t.Fatalf("an empty queue needs %v tokens", need)
		}
	})
}

// An idle flow's call waits for at most one call of each other flow. Of two flows that always have calls, neither is ahead of its
// share by more than a call of each.
func TestFairness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth(t, 5)
		for i := range b.flows {
			b.flows[i].Batch = false
		}
		for range rapid.IntRange(0, 80).Draw(t, "calls") {
			if rapid.IntRange(0, 3).Draw(t, "leaves") == 0 {
				b.pop(t, 1, 0)
			} else {
				b.push(rapid.SampledFrom(b.flows).Draw(t, "flow"), int64(b.names))
			}
		}
		idle := fairqueue.Flow{Name: "idle"}
		newcomer := b.push(idle, 0)
		before, left, sent := map[string]int{}, map[fairqueue.Flow]int{}, map[fairqueue.Flow]int{}
		for _, c := range b.m.calls {
			left[c.flow.Flow]++
		}
		for waits := true; ; {
			c := b.pop(t, 1, 0)
			if c == nil {
				return
			}
			if waits = waits && c != newcomer; waits {
				if before[c.flow.Name]++; before[c.flow.Name] > 1 {
					t.Fatalf("the call of an idle flow waits for %d calls of %s, want at most one", before[c.flow.Name], c.flow.Name)
				}
			}
			left[c.flow.Flow]--
			sent[c.flow.Flow]++
			for _, one := range b.flows {
				for _, other := range b.flows {
					if left[one] > 0 && left[other] > 0 && sent[one]*other.Weight-sent[other]*one.Weight > one.Weight+other.Weight {
						t.Fatalf("%v had %d calls dispatched while %v had %d", one, sent[one], other, sent[other])
					}
				}
			}
		}
	})
}

// A tool that was idle, and sends one call after the other, has every second call dispatched beside one that always has queued calls.
func TestBeingIdleSavesNothing(t *testing.T) {
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprint("the other is batch: ", batch), func(t *testing.T) {
			q := fairqueue.New[int]()
			busy, idle := fairqueue.Flow{Name: "busy", Batch: batch}, fairqueue.Flow{Name: "idle"}
			for n := range 30 {
				q.Push(busy, int64(n), n)
			}
			for range 10 {
				q.Pop(1, 0)
			}
			sent := map[string]int{}
			q.Push(idle, 0, 0)
			for range 10 {
				i := q.Pop(1, 0)
				if sent[i.Flow().Name]++; i.Flow() == idle {
					q.Push(idle, 0, 0)
				}
			}
			if sent["idle"] != 5 || sent["busy"] != 5 {
				t.Errorf("of ten calls %v were dispatched, want five of each", sent)
			}
		})
	}
}

// A batch flow leaves the reserve to the others, until it is late by as many calls.
func TestBatchLeavesTheReserveAndDoesNotStarve(t *testing.T) {
	q := fairqueue.New[int]()
	batch, bot := fairqueue.Flow{Name: "batch", Batch: true}, fairqueue.Flow{Name: "bot"}
	for n := range 40 {
		q.Push(batch, int64(n), n)
	}
	if got := q.Need(3); got != 4 {
		t.Errorf("alone it needs %v tokens, want the reserve of 3 and its own", got)
	}
	if q.Pop(3.9, 3) != nil || q.Pop(4, 3) == nil {
		t.Error("3.9 tokens suffice, or 4 do not; want that it leaves a reserve of 3")
	}
	sent := map[string]int{}
	for n := range 23 { // the bot always has a call too, and there is never more than a token
		q.Push(bot, int64(n), n)
		sent[q.Pop(1, 3).Flow().Name]++
	}
	if sent["batch"] != 9 || sent["bot"] != 14 {
		t.Errorf("of 23 calls %v were dispatched, want 14 of the bot: at first the reserve of 3, and then every second one", sent)
	}
}

// BenchmarkQueue has 1,000 calls queued. A forecast copies and pops all of them; a dispatch pops one, and pushes it again.
func BenchmarkQueue(b *testing.B) {
	for _, flows := range []int{1, 50} {
		q := fairqueue.New[int]()
		for n := range 1000 {
			q.Push(fairqueue.Flow{Name: fmt.Sprint("tool", n%flows), Weight: 1 + n%4}, rand.Int64N(1e6), n)
		}
		b.Run(fmt.Sprint("forecast/", flows), func(b *testing.B) {
			b.ReportAllocs()
			c := fairqueue.New[int]()
			for b.Loop() {
				c.Copy(q)
				for c.Pop(1, 0) != nil {
				}
			}
		})
		b.Run(fmt.Sprint("dispatch/", flows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				i := q.Pop(1, 0)
				q.Push(i.Flow(), rand.Int64N(1e6), i.Value)
			}
		})
	}
}
