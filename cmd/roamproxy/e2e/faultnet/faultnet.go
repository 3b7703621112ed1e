// Package faultnet injects TCP faults between a client and a server, for tests.
package faultnet

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// Net is a TCP relay to one address that can inject a fault into each connection. It records the bytes that clients send.
type Net struct {
	Addr string
	to   string

	mu     sync.Mutex // guards what follows
	script []Fault    // of the next connections, one each; later ones pass
	up     bytes.Buffer
	met    int // faults of Counting
	open   map[net.Conn]bool
	conns  sync.WaitGroup
}

// Fault handles one connection: near is the client's end, far the server's. Both are closed when it returns.
type Fault func(near, far *net.TCPConn)

// New starts a relay to an address. It ends with the test.
func New(t *testing.T, to string) *Net {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Net{Addr: l.Addr().String(), to: to, open: make(map[net.Conn]bool)}
	b.conns.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			b.conns.Go(func() { b.carry(near.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.Cut()
		b.conns.Wait()
	})
	return b
}

func (n *Net) carry(near *net.TCPConn) {
	defer near.Close()
	conn, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	far := conn.(*net.TCPConn)
	defer far.Close()
	n.mu.Lock()
	var meet Fault = n.Pass
	if len(n.script) > 0 {
		meet, n.script = n.script[0], n.script[1:]
	}
	n.open[near], n.open[far] = true, true
	n.mu.Unlock()
	meet(near, far)
	n.mu.Lock()
	delete(n.open, near)
	delete(n.open, far)
	n.mu.Unlock()
}

// Next sets the faults of the next connections, one each. Later connections pass.
func (n *Net) Next(script ...Fault) { n.mu.Lock(); defer n.mu.Unlock(); n.script = script }

// Counting returns then as a fault that Counted counts.
func (n *Net) Counting(then Fault) Fault {
	return func(near, far *net.TCPConn) {
		n.mu.Lock()
		n.met++
		n.mu.Unlock()
		then(near, far)
	}
}

// Counted returns how many connections met a fault of Counting.
func (n *Net) Counted() int { n.mu.Lock(); defer n.mu.Unlock(); return n.met }

// Cut closes every open connection.
func (n *Net) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		c.Close()
	}
}

// Connections returns how many connections are open.
func (n *Net) Connections() int { n.mu.Lock(); defer n.mu.Unlock(); return len(n.open) / 2 }

// Sent returns what clients sent since its last call.
func (n *Net) Sent() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	up := n.up.Bytes()
	n.up = bytes.Buffer{}
	return up
}

// record returns a writer to what Sent returns.
func (n *Net) record() io.Writer { return recorder{n} }

type recorder struct{ net *Net }

func (r recorder) Write(p []byte) (int, error) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.net.up.Write(p)
}

// Pass is the Fault that does nothing.
func (n *Net) Pass(near, far *net.TCPConn) {
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(far, io.TeeReader(near, n.record()))
		far.CloseWrite()
	})
	deliver(near, far)
	near.CloseWrite()
	up.Wait()
}

// deliver copies until either end is closed. It hides the types, because the kernel's own copy keeps pipes open.
func deliver(to io.Writer, from io.Reader) {
	io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
}
