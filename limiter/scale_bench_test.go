package limiter

import (
	"fmt"
	"testing"
	"time"

	"roamproxy/proxy/roamtest/usage"
)

// BenchmarkScaleQueued queues so many calls of so many tools, has one more refused, and dispatches all. Of none of the three may the time
// of a call grow faster than the number of calls or of tools.
func BenchmarkScaleQueued(b *testing.B) {
	for _, n := range []struct{ calls, tools int }{{1000, 10}, {10_000, 10}, {1000, 1000}, {10_000, 1000}} {
		b.Run(fmt.Sprintf("calls=%d/tools=%d", n.calls, n.tools), func(b *testing.B) {
			tools := make([]Tool, n.tools)
			for i := range tools {
				tools[i] = Tool{Name: fmt.Sprint("tool", i), Weight: 1 + i%4}
			}
			const refused = 10
			var admit, refuse, leave time.Duration
			for b.Loop() {
				s, now := stands(1, 10, 0, Options{MaxQueue: n.calls, MaxWait: 24 * time.Hour}, 0)
				used := usage.ProcessorTime()
				for i := range n.calls {
					c := s.newCall(now, Caller{Tool: tools[i%n.tools], Urgency: i % (mildest + 1), Longest: -1})
					if r := s.admit(now, c); r != nil {
						b.Fatal(r)
					}
					s.enter(c)
				}
				admit += usage.ProcessorTime() - used
				used = usage.ProcessorTime()
				for range refused {
					if s.admit(now, s.newCall(now, Caller{Tool: tools[0], Urgency: Usual, Longest: time.Second})) == nil {
						b.Fatal("admitted to a full queue")
					}
				}
				refuse += usage.ProcessorTime() - used
				used = usage.ProcessorTime()
				for range n.calls {
					if s.pop(now, s.demand(now)) == nil {
						b.Fatal("no call was dispatched")
					}
				}
				leave += usage.ProcessorTime() - used
			}
			calls := float64(b.N * n.calls)
			b.ReportMetric(float64(admit)/calls, "admit-cpu-ns/call")
			b.ReportMetric(float64(leave)/calls, "dispatch-cpu-ns/call")
			b.ReportMetric(float64(refuse)/float64(b.N*refused), "refuse-cpu-ns/call")
		})
	}
}
