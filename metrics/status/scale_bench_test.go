package status

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"roamproxy/metrics"
	"roamproxy/proxy/roamtest/usage"
)

// BenchmarkScaleTools has many tools, each of which has called ten routes and has calls queued. It measures their memory, a scrape, the
// status API and the status page. None may grow faster than the number of tools.
func BenchmarkScaleTools(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint("tools=", n), func(b *testing.B) {
			before := usage.Heap()
			m := busyTools(n)
			heap := usage.Heap() - before
			pages := openAdmin(m)
			spent := make(map[string]time.Duration)
			paths := []string{"/metrics", "/api/status", "/"}
			for b.Loop() {
				for _, path := range paths {
					w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
					used := usage.ProcessorTime()
					if pages.ServeHTTP(w, r); w.Code != http.StatusOK {
						b.Fatal(path, w.Code)
					}
					spent[path] += usage.ProcessorTime() - used
				}
			}
			runtime.KeepAlive(m)
			b.ReportMetric(float64(heap)/float64(n), "heap-B/tool")
			for i, unit := range []string{"scrape-cpu-ns/tool", "api-cpu-ns/tool", "page-cpu-ns/tool"} {
				b.ReportMetric(float64(spent[paths[i]])/float64(b.N*n), unit)
			}
		})
	}
}

// busyTools returns a monitor that has recorded calls of n tools.
func busyTools(n int) *Monitor {
	tools, length := make([]string, n), make(map[string]int, n)
	for i := range tools {
		tools[i] = fmt.Sprint("tool", i)
		length[tools[i]] = 10
	}
	m, counted := newMonitor()
	q := counted.Quota("roam", tools)
	counted.QuotaState("roam", func() metrics.QuotaState {
		return metrics.QuotaState{Tokens: 1, Burst: 10, Rate: 1, Capacity: 10 * n, Length: length}
	})
	for _, tool := range tools {
		counted.Tool(tool)
		for i := range 10 {
			route := fmt.Sprintf("/v1/noun%d.info", i)
			q.Sent(route, 200, time.Millisecond)
			q.Waited(tool, metrics.Sent, time.Second)
			counted.Answered(metrics.Answer{Tool: tool, Route: route, Method: "GET", Quota: "roam", Code: 200, Cache: metrics.Miss, Attempts: 1,
				Duration: time.Second})
			counted.Answered(metrics.Answer{Tool: tool, Route: route, Method: "GET", Quota: "roam", Code: 200, Cache: metrics.Hit,
				Duration: time.Millisecond})
		}
	}
	m.sample()
	return m
}
