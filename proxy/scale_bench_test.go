package proxy

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"roamproxy/proxy/roamtest/usage"
)

// BenchmarkScaleStreams opens many silent event streams, and waits for their keep-alive comments. Neither the memory of a stream nor the
// CPU time of a comment may grow with their number. A stream has two connections: one to the tool, and one to Roam.
func BenchmarkScaleStreams(b *testing.B) {
	const keepAlive = 50 * time.Millisecond // 15 s in production
	for _, n := range []int{50, 500} {
		b.Run(fmt.Sprint("streams=", n), func(b *testing.B) {
			roam := newStreamUpstream(b)
			transport := newTransport(b, n)
			h := newHarness(b, nil, transport, func(p *setup) {
				p.rate, p.burst, p.queue.MaxInFlight = 1e6, 1000, n
				p.proxy.Upstream, p.proxy.KeepAlive = mustParse("http://"+roam.addr), keepAlive
			})
			h.o.Observer = nullObserver{}
			addr := netip.MustParseAddrPort(servedAt(b, h))
			var stacks, heap uint64
			var cpu time.Duration
			comments := 0
			for b.Loop() {
				before, opened := usage.Memory(), roam.opened.Load()
				clients := make([]int, n)
				for i := range clients {
					clients[i] = dial(b, addr)
					fmt.Fprintf(socket(clients[i]), "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: "+
						"s-%d-%d\r\n\r\n", opened, i)
				}
				for deadline := time.Now().Add(10 * time.Second); roam.opened.Load() < opened+int64(n); <-time.After(time.Millisecond) {
					if time.Now().After(deadline) {
						b.Fatalf("%d streams are open, want %d", roam.opened.Load()-opened, n)
					}
				}
				<-time.After(2 * keepAlive) // until the last header has arrived
				now := usage.Memory()
				stacks += now.StackInuse - before.StackInuse
				heap += now.HeapAlloc - before.HeapAlloc
				used := usage.ProcessorTime()
				<-time.After(10 * keepAlive)
				cpu, comments = cpu+usage.ProcessorTime()-used, comments+10*n
				for _, c := range clients {
					syscall.Close(c)
				}
			}
			total := float64(b.N * n)
			b.ReportMetric(float64(stacks)/total, "stack-B/stream")
			b.ReportMetric(float64(heap)/total, "heap-B/stream")
			b.ReportMetric(float64(cpu)/float64(comments), "cpu-ns/comment")
		})
	}
}

// socket writes to a connected socket.
type socket int

func (s socket) Write(p []byte) (int, error) { return syscall.Write(int(s), p) }

// streamUpstream answers every request with the header of an event stream, and then sends nothing. It has no goroutine and no buffer for a
// connection, because the benchmark would count them as roamproxy's.
type streamUpstream struct {
	addr   string
	opened atomic.Int64
}

func newStreamUpstream(b *testing.B) *streamUpstream {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Bind(s, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(s, 1000)
	}
	if err != nil {
		b.Fatal(err)
	}
	name, _ := syscall.Getsockname(s)
	u, done := &streamUpstream{addr: fmt.Sprint("127.0.0.1:", name.(*syscall.SockaddrInet4).Port)}, make(chan struct{})
	go func() {
		defer close(done)
		var conns []int
		request := make([]byte, 4<<10)
		for {
			conn, _, err := syscall.Accept(s)
			if err != nil {
				break
			}
			conns = append(conns, conn)
			syscall.Read(conn, request)
			fmt.Fprint(socket(conn), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
			u.opened.Add(1)
		}
		for _, conn := range conns {
			syscall.Close(conn)
		}
	}()
	b.Cleanup(func() {
		syscall.Shutdown(s, syscall.SHUT_RDWR) // ends Accept
		<-done
		syscall.Close(s)
	})
	return u
}
