package cache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"roamproxy/proxy/roamtest/usage"
)

// BenchmarkScaleEntries stores many small answers of a hundred routes, finds each, invalidates one route, and then all. Neither the time
// nor the memory of an entry may grow with their number.
func BenchmarkScaleEntries(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint("entries=", n), func(b *testing.B) {
			const routes = 100
			keys, of := make([]Key, n), make([]string, n)
			for i := range keys {
				of[i] = fmt.Sprintf("/v1/noun%d.info", i%routes)
				keys[i] = Key(fmt.Sprintf("org GET %s?id=%d", of[i], i))
			}
			body := []byte(`{"ok":true,"x":"` + strings.Repeat("x", 1<<10) + `"}`)
			var set, get, one, all time.Duration
			var heap int64
			var counted float64
			for b.Loop() {
				m, err := NewMemory(max(int64(n)*4<<10, 64<<20))
				if err != nil {
					b.Fatal(err)
				}
				before := usage.Heap()
				set += took(func() {
					for i, k := range keys {
						m.Set(k, &Entry{Route: of[i], Status: 200, Header: http.Header{"Etag": {`"rp-1"`}}, Body: append([]byte(nil), body...)})
					}
				})
				heap += usage.Heap() - before
				bytes, entries := m.Size()
				counted += float64(bytes)
				if entries != n {
					b.Fatalf("%d entries are stored, want %d", entries, n)
				}
				get += took(func() {
					for i := range keys {
						if m.Get(keys[i*7919%n]) == nil {
							b.Fatal("an entry is gone")
						}
					}
				})
				one += took(func() { m.Invalidate(func(route string) bool { return route == of[0] }) })
				all += took(func() { m.Invalidate(func(string) bool { return true }) })
				if _, entries := m.Size(); entries != 0 {
					b.Fatalf("%d entries are stored, want none", entries)
				}
				m.Close()
			}
			total := float64(b.N * n)
			b.ReportMetric(float64(heap)/total, "heap-B/entry")
			b.ReportMetric(counted/total, "counted-B/entry")
			b.ReportMetric(float64(set)/total, "set-cpu-ns/entry")
			b.ReportMetric(float64(get)/total, "get-cpu-ns/entry")
			b.ReportMetric(float64(one)/total*routes, "invalidate-one-route-cpu-ns/entry")
			b.ReportMetric(float64(all)/total, "invalidate-all-cpu-ns/entry")
		})
	}
}

// took returns the processor time of do.
func took(do func()) time.Duration {
	used := usage.ProcessorTime()
	do()
	return usage.ProcessorTime() - used
}
