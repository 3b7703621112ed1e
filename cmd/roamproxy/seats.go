package main

import (
	order "container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// seats bounds how many connections a server has at once. When one comes beyond the bound, the connection that has been of no use for
// the longest makes room: one without a whole request under way. Only where every connection has one is the newcomer closed. So
// nobody keeps others out by holding connections open, or by sending requests that do not end.
type seats struct {
	mu     sync.Mutex // guards the following
	most   int
	all    map[net.Conn]*order.Element
	unused *order.List // of net.Conn: those of no use, the longest first. An element of another one is in no list
}

func newSeats() *seats {
	return &seats{all: make(map[net.Conn]*order.Element), unused: order.New()}
}

// resize sets the bound. Connections that are open stay; with fewer seats the next that come take those of no use.
func (c *seats) resize(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = most
}

type connectionKey struct{}

// bound puts a server under the bound. It keeps the ConnContext that is set, and takes ConnState for itself.
func (c *seats) bound(s *http.Server) {
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connectionKey{}).(net.Conn)
		c.use(conn)
		defer c.rest(conn)
		next.ServeHTTP(w, r)
	})
	known := s.ConnContext
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if c.came(conn); known != nil {
			ctx = known(ctx, conn)
		}
		return context.WithValue(ctx, connectionKey{}, conn)
	}
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			c.left(conn)
		}
	}
}

func (c *seats) came(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[conn] = c.unused.PushBack(conn)
	for len(c.all) > c.most && c.unused.Len() > 0 {
		longest := c.unused.Remove(c.unused.Front()).(net.Conn) // the newcomer, where all others are of use
		delete(c.all, longest)
		longest.Close()
	}
}

func (c *seats) use(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[conn]; e != nil {
		c.unused.Remove(e)
		c.all[conn] = nil
	}
}

func (c *seats) rest(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.all[conn]; ok {
		c.all[conn] = c.unused.PushBack(conn)
	}
}

func (c *seats) left(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[conn]; e != nil {
		c.unused.Remove(e)
	}
	delete(c.all, conn)
}
