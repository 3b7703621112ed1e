package proxy

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What a queued call takes of memory, with its connection: some 16 KiB of it are net/http's buffers and its goroutine that watches the
// tool. A promise: at most 28 KiB.
func BenchmarkWaiting(b *testing.B) {
	const calls = 500
	h := build(b, nil, &echo{}, func(p *plan) {
		p.rate, p.burst, p.line.MaxWait, p.line.MaxQueue = 0.01, 1, 24*time.Hour, calls
	})
	addr := strings.TrimPrefix(served(b, h), "http://")
	h.post(b.Context()) // takes the one token
	queued := func() (n int) {
		for _, calls := range h.queue.State().Waiting {
			n += calls
		}
		return n
	}
	waiting := func(n int) {
		for deadline := time.Now().Add(10 * time.Second); queued() != n; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatalf("%d calls are queued, want %d", queued(), n)
			}
		}
	}
	var stacks, heap uint64
	for b.Loop() {
		before := memory()
		var conns [calls]net.Conn
		for i := range conns {
			var err error
			if conns[i], err = net.Dial("tcp", addr); err != nil {
				b.Fatal(err)
			}
			io.WriteString(conns[i], "GET /v1/meeting.search HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bot/1\r\nAccept: application/json\r\nX-Own: 1\r\nAccept-Encoding: gzip, deflate\r\n\r\n")
		}
		waiting(calls)
		now := memory()
		stacks += now.StackInuse - before.StackInuse
		heap += now.HeapAlloc - before.HeapAlloc
		for _, c := range conns {
			c.Close()
		}
		waiting(0)
	}
	b.ReportMetric(float64(stacks)/float64(b.N*calls), "stack-B/call")
	b.ReportMetric(float64(heap)/float64(b.N*calls), "heap-B/call")
}

// memory is what is in use once what is not has been collected.
func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
