package fairqueue_test

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"roamproxy/limiter/fairqueue"
)

// model is the queue as slow and obvious as can be: a list of calls, and for each flow its start tag. It finds the next call by
// comparing all of them.
type model struct {
	now   int64
	count int
	flows map[string]*modelFlow
	calls []*modelCall
}

type modelFlow struct {
	fairqueue.Flow
	tag   int64
	first int // when it came, which settles ties
}

type modelCall struct {
	name       string
	flow       *modelFlow
	class, seq int
	rank, tag  int64
	item       *fairqueue.Item[*modelCall]
}

const unit = 1 << 30 // a call of weight 1, in virtual time

func (m *model) flow(f fairqueue.Flow) *modelFlow {
	own := m.flows[f.Name]
	if own == nil {
		m.count++
		own = &modelFlow{tag: m.now, first: m.count}
		m.flows[f.Name] = own
	}
	own.Flow = f
	if m.waiting(own) == 0 {
		own.tag = max(own.tag, m.now)
	}
	return own
}

func (m *model) waiting(f *modelFlow) (n int) {
	for _, c := range m.calls {
		if c.flow == f {
			n++
		}
	}
	return n
}

func (m *model) push(c *modelCall, f fairqueue.Flow) {
	c.flow = m.flow(f)
	m.count++
	c.seq = m.count
	m.calls = append(m.calls, c)
}

func (m *model) giveBack(c *modelCall) {
	f := m.flow(c.flow.Flow)
	f.tag = min(f.tag, c.tag)
	c.class, c.flow = 0, f
	m.count++
	c.seq = m.count
	m.calls = append(m.calls, c)
}

func (m *model) before(a, b *modelCall) bool {
	switch {
	case a.flow == b.flow && a.class != b.class:
		return a.class < b.class
	case a.flow == b.flow && a.rank != b.rank:
		return a.rank < b.rank
	case a.flow == b.flow:
		return a.seq < b.seq
	case a.flow.tag != b.flow.tag:
		return a.flow.tag < b.flow.tag
	}
	return a.flow.first < b.flow.first
}

// next is the call that goes before all others which may go with so many tokens.
func (m *model) next(tokens, reserve float64) (next *modelCall) {
	for _, c := range m.calls {
		needs := 1.0
		if c.flow.Batch && float64(m.now-c.flow.tag) < reserve*unit {
			needs += reserve
		}
		if tokens >= needs && (next == nil || m.before(c, next)) {
			next = c
		}
	}
	return next
}

func (m *model) pop(tokens, reserve float64) *modelCall {
	c := m.next(tokens, reserve)
	if c == nil {
		return nil
	}
	c.tag = c.flow.tag
	m.now = max(m.now, c.tag)
	c.flow.tag += unit / int64(max(c.flow.Weight, 1))
	m.remove(c)
	return c
}

func (m *model) remove(c *modelCall) {
	m.calls = slices.DeleteFunc(m.calls, func(o *modelCall) bool { return o == c })
	for name, f := range m.flows {
		if m.waiting(f) == 0 && (f.tag <= m.now || len(m.calls) == 0) {
			delete(m.flows, name)
		}
	}
	if len(m.calls) == 0 {
		m.now = 0
	}
}

func drawFlows(t *rapid.T, most int) []fairqueue.Flow {
	flows := make([]fairqueue.Flow, rapid.IntRange(1, most).Draw(t, "flows"))
	for i := range flows {
		flows[i] = fairqueue.Flow{
			Name: fmt.Sprint("tool", i), Weight: rapid.IntRange(1, 4).Draw(t, "weight"), Batch: rapid.IntRange(0, 3).Draw(t, "batch") == 0,
		}
	}
	return flows
}

// both is a queue and its model. Each operation goes to both.
type both struct {
	q      *fairqueue.Queue[*modelCall]
	m      *model
	flows  []fairqueue.Flow
	popped []*modelCall
	names  int
}

func newBoth(t *rapid.T, flows int) *both {
	return &both{q: fairqueue.New[*modelCall](), m: &model{flows: map[string]*modelFlow{}}, flows: drawFlows(t, flows)}
}

func (b *both) push(f fairqueue.Flow, rank int64) *modelCall {
	b.names++
	c := &modelCall{name: fmt.Sprint("call ", b.names), class: 2, rank: rank}
	c.item = b.q.Push(f, rank, c)
	b.m.push(c, f)
	return c
}

// pop takes a call out of both, and fails when they differ.
func (b *both) pop(t *rapid.T, tokens, reserve float64) *modelCall {
	need := b.q.Need(reserve)
	if got := b.m.next(need, reserve); len(b.m.calls) > 0 && (got == nil || b.m.next(need-0.001, reserve) != nil) {
		t.Fatalf("Need returns %v tokens, and the model needs others", need)
	}
	want, item := b.m.pop(tokens, reserve), b.q.Pop(tokens, reserve)
	switch {
	case item == nil && want == nil:
		return nil
	case item == nil || want == nil || item.Value != want:
		t.Fatalf("with %v tokens and a reserve of %v: popped %v, want %v", tokens, reserve, nameOf(item), want)
	}
	b.popped = append(b.popped, want)
	return want
}

func nameOf(i *fairqueue.Item[*modelCall]) string {
	if i == nil {
		return "none"
	}
	return i.Value.name
}

func (b *both) step(t *rapid.T, now int64) {
	flow := func() fairqueue.Flow { return rapid.SampledFrom(b.flows).Draw(t, "flow") }
	rank := func() int64 { return now + rapid.Int64Range(0, 7).Draw(t, "urgency")*10_000 }
	waiting := b.m.calls
	switch what := rapid.IntRange(0, 9).Draw(t, "step"); {
	case what < 4 || len(waiting) == 0:
		b.push(flow(), rank())
	case what < 7:
		b.pop(t, rapid.Float64Range(0, 6).Draw(t, "tokens"), rapid.SampledFrom([]float64{0, 2, 5}).Draw(t, "reserve"))
	case what == 7:
		c := rapid.SampledFrom(waiting).Draw(t, "removed")
		b.q.Remove(c.item)
		b.m.remove(c)
	case what == 8 && len(b.popped) > 0:
		c := b.popped[len(b.popped)-1]
		b.popped = b.popped[:len(b.popped)-1]
		b.q.Return(c.item)
		b.m.giveBack(c)
	default:
		c := rapid.SampledFrom(waiting).Draw(t, "promoted")
		b.q.Promote(c.item)
		c.class = min(c.class, 1)
	}
	if b.q.Len() != len(b.m.calls) {
		t.Fatalf("the queue counts %d calls, want %d", b.q.Len(), len(b.m.calls))
	}
	counted := map[string]int{}
	for f, n := range b.q.Flows() {
		counted[f.Name] = n
	}
	for _, f := range b.m.flows {
		if got, want := counted[f.Name], b.m.waiting(f); got != want || b.q.FlowLen(f.Name) != want {
			t.Fatalf("%s has %d calls, want %d", f.Name, got, want)
		}
	}
}
