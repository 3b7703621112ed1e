package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// remembered is one end of a connection as Remember makes it, and its other end.
func remembered(t *testing.T) (ours, theirs net.Conn) {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	l := &listener{Listener: &pipes{conns: make(chan net.Conn, 1)}}
	l.Listener.(*pipes).conns <- near
	ours, _ = l.Accept()
	return ours, far
}

// However often a deadline is set before somebody reads or writes, the last one is heeded.
func TestTheLastDeadlineIsHeeded(t *testing.T) {
	const none = -1
	for _, tt := range []struct {
		name string
		set  []time.Duration // from now; below 0: none
		want time.Duration   // when a read ends that gets nothing; below 0: never
	}{
		{"none", []time.Duration{none}, none},
		{"one", []time.Duration{time.Second}, time.Second},
		{"a later one", []time.Duration{time.Second, 2 * time.Second}, 2 * time.Second},
		{"an earlier one", []time.Duration{2 * time.Second, time.Second}, time.Second},
		{"one that was taken back", []time.Duration{time.Second, none}, none},
		{"one that is over", []time.Duration{time.Second, none, 0}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			for _, direction := range []string{"read", "write"} {
				conn, far := remembered(t)
				set, act, other := conn.SetReadDeadline, conn.Read, far.Write
				if direction == "write" {
					set, act, other = conn.SetWriteDeadline, conn.Write, far.Read
				}
				for _, standing := range []time.Duration{10 * time.Second, 2 * nearly} {
					set(time.Now().Add(standing))
					go other(make([]byte, 1))
					act(make([]byte, 1))
					time.Sleep(time.Second / 2) // the first stands for a while yet, the second is over
					start, ended := time.Now(), make(chan error, 1)
					for _, d := range tt.set {
						at := time.Time{}
						if d >= 0 {
							at = start.Add(d)
						}
						set(at)
					}
					go func() { _, err := act(make([]byte, 1)); ended <- err }()
					select {
					case err := <-ended:
						if took := time.Since(start); took != tt.want || !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("%s: a %s ended after %v with %v, want after %v", tt.name, direction, took, err, tt.want)
						}
						continue
					case <-time.After(time.Hour):
						if tt.want != none {
							t.Errorf("%s: a %s goes on for ever, want its end after %v", tt.name, direction, tt.want)
						}
					}
					break
				}
				conn.Close()
			}
		})
	}
}

// net/http ends a read that waits by a deadline in the past, at the end of every call.
func TestADeadlineCountsForWhoWaitsAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := remembered(t)
		ended := make(chan error)
		go func() { _, err := conn.Read(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		conn.SetReadDeadline(time.Unix(1, 0))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v, want %v", err, os.ErrDeadlineExceeded)
		}
		conn.SetReadDeadline(time.Time{})
		go far.Write([]byte("x"))
		if n, err := conn.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("the next read got %d bytes and %v, want one", n, err)
		}
	})
}

// A connection that is asked all the time keeps its deadline for a moment, and loses none.
func TestADeadlineMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := remembered(t)
		told := 0
		c := conn.(*connection)
		tell := c.reading.tell
		c.reading.tell = func(at time.Time) error { told++; return tell(at) }
		const patience = 200 * time.Millisecond
		for range 1000 { // each a millisecond after the one before
			conn.SetReadDeadline(time.Now().Add(patience))
			go func() { time.Sleep(time.Millisecond); far.Write([]byte("x")) }()
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Time{})
		}
		if told < 10 || told > 30 {
			t.Errorf("in a second the connection was told %d times, want some twenty", told)
		}
	})
}

// One connection, one hit after another, with all that net/http does for each.
func BenchmarkHitOnTheWire(b *testing.B) {
	for _, kind := range []string{"plain", "remembered"} {
		b.Run(kind, func(b *testing.B) {
			h, _ := answering(b, 1<<10)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
			if kind == "remembered" {
				l = Remember(server, l)
			}
			go server.Serve(l)
			defer server.Close()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			begun := spent()
			for b.Loop() {
				fmt.Fprint(conn, "GET /v1/groups.list?limit=10&expand=a HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: bot/1\r\nRoamproxy-Tool: bot\r\n\r\n")
				for line := []byte("x"); len(line) > len("\r\n"); {
					if line, err = in.ReadSlice('\n'); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := io.CopyN(io.Discard, in, 1<<10); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((spent()-begun).Nanoseconds())/float64(b.N), "cpu-ns/op") // which a busy machine changes less
		})
	}
}

// spent is the CPU time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
