package main

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// between is a piece of network that a test can spoil: it hands each connection on to another address and keeps what went up.
type between struct {
	addr string
	to   string

	mu     sync.Mutex // guards what follows
	script []trouble  // of the next connections, one each; those after them pass
	up     bytes.Buffer
	met    int // troubles that say so
	open   map[net.Conn]bool
	conns  sync.WaitGroup
}

// trouble is what a connection meets. near is the end of whoever connected, far leads on. Both are closed when it returns.
type trouble func(near, far *net.TCPConn)

// newBetween starts a piece of network that leads to an address.
func newBetween(t *testing.T, to string) *between {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &between{addr: l.Addr().String(), to: to, open: make(map[net.Conn]bool)}
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
		b.cut()
		b.conns.Wait()
	})
	return b
}

func (b *between) carry(near *net.TCPConn) {
	defer near.Close()
	conn, err := net.Dial("tcp", b.to)
	if err != nil {
		return
	}
	far := conn.(*net.TCPConn)
	defer far.Close()
	b.mu.Lock()
	var meet trouble = b.pass
	if len(b.script) > 0 {
		meet, b.script = b.script[0], b.script[1:]
	}
	b.open[near], b.open[far] = true, true
	b.mu.Unlock()
	meet(near, far)
	b.mu.Lock()
	delete(b.open, near)
	delete(b.open, far)
	b.mu.Unlock()
}

// next lets the connections that are made from now on meet these, one each.
func (b *between) next(script ...trouble) { b.mu.Lock(); defer b.mu.Unlock(); b.script = script }

// noting is a trouble that can be asked whether it was met.
func (b *between) noting(then trouble) trouble {
	return func(near, far *net.TCPConn) {
		b.mu.Lock()
		b.met++
		b.mu.Unlock()
		then(near, far)
	}
}

// noted is how many of them were met.
func (b *between) noted() int { b.mu.Lock(); defer b.mu.Unlock(); return b.met }

// cut ends every connection.
func (b *between) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		c.Close()
	}
}

// connections is how many there are now.
func (b *between) connections() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.open) / 2 }

// sent is what went up since it was last asked.
func (b *between) sent() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	up := b.up.Bytes()
	b.up = bytes.Buffer{}
	return up
}

func (b *between) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.up.Write(p)
}

// pass is no trouble at all.
func (b *between) pass(near, far *net.TCPConn) {
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(far, io.TeeReader(near, b))
		far.CloseWrite()
	})
	deliver(near, far)
	near.CloseWrite()
	up.Wait()
}

// deliver copies until either end is over, and not within the kernel, which keeps pipes for it.
func deliver(to io.Writer, from io.Reader) {
	io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
}
