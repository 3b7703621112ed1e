package proxy

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"roamproxy/proxy/roamtest/usage"
)

// BenchmarkWaiting measures the memory of a queued call with its connection. About 16 KiB of it are net/http's buffers, and its goroutine
// that watches the connection. roamproxy promises at most 28 KiB, for any number of calls. The CPU time includes that of the tool.
func BenchmarkWaiting(b *testing.B) {
	for _, calls := range []int{500, 5000} {
		b.Run(fmt.Sprint("calls=", calls), func(b *testing.B) { benchmarkWaiting(b, calls) })
	}
}

func benchmarkWaiting(b *testing.B, calls int) {
	h := newHarness(b, nil, &recordingUpstream{}, func(p *setup) {
		p.rate, p.burst, p.queue.MaxWait, p.queue.MaxQueue = 0.01, 1, 1000*time.Hour, calls
	})
	addr := netip.MustParseAddrPort(servedAt(b, h))
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
	used := usage.ProcessorTime()
	for b.Loop() {
		before := usage.Memory()
		clients := make([]int, calls) // no net.Conn, whose 0.5 KiB would be counted too
		for i := range clients {
			clients[i] = dial(b, addr)
			syscall.Write(clients[i], []byte("GET /v1/meeting.search HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bot/1\r\nAccept: "+
				"application/json\r\nX-Own: 1\r\nAccept-Encoding: gzip, deflate\r\n\r\n"))
		}
		waiting(calls)
		now := usage.Memory()
		stacks += now.StackInuse - before.StackInuse
		heap += now.HeapAlloc - before.HeapAlloc
		for _, c := range clients {
			syscall.Close(c)
		}
		waiting(0)
	}
	b.ReportMetric(float64(usage.ProcessorTime()-used)/float64(b.N*calls), "cpu-ns/call")
	b.ReportMetric(float64(stacks)/float64(b.N*calls), "stack-B/call")
	b.ReportMetric(float64(heap)/float64(b.N*calls), "heap-B/call")
}

// dial returns a connected socket.
func dial(b *testing.B, addr netip.AddrPort) int {
	b.Helper()
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(s, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
	}
	if err != nil {
		b.Fatal(err)
	}
	return s
}
