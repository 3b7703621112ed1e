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
	order  *order.List    // of net.Conn: those of no use, the longest first, then middle, then those of use
	middle *order.Element // so that a request moves its connection and allocates nothing
}

func newSeats() *seats {
	c := &seats{all: make(map[net.Conn]*order.Element), order: order.New()}
	c.middle = c.order.PushBack(nil)
	return c
}

// resize sets the bound. Connections that are open stay; with fewer seats the next that come take those of no use.
func (c *seats) resize(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = most
}

type seatKey struct{}

// bound puts a server under the bound. It keeps the ConnContext that is set, and takes ConnState for itself.
func (c *seats) bound(s *http.Server) {
	s.Handler = &seating{s.Handler, c}
	known := s.ConnContext
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		seat := c.came(conn)
		if known != nil {
			ctx = known(ctx, conn)
		}
		return context.WithValue(ctx, seatKey{}, seat)
	}
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			c.left(conn)
		}
	}
}

// seating is a handler whose requests are of use to their connections.
type seating struct {
	http.Handler
	seats *seats
}

func (s *seating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seat := r.Context().Value(seatKey{}).(*order.Element)
	s.seats.use(seat)
	defer s.seats.rest(seat)
	s.Handler.ServeHTTP(w, r)
}

// came gives a connection its seat, which may be taken from it at once.
func (c *seats) came(conn net.Conn) *order.Element {
	c.mu.Lock()
	defer c.mu.Unlock()
	seat := c.order.InsertBefore(conn, c.middle)
	c.all[conn] = seat
	for len(c.all) > c.most && c.order.Front() != c.middle {
		longest := c.order.Remove(c.order.Front()).(net.Conn) // the newcomer, where all others are of use
		delete(c.all, longest)
		longest.Close()
	}
	return seat
}

// use and rest do nothing for a seat that was taken away: it is in no list any more.
func (c *seats) use(seat *order.Element) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.MoveToBack(seat)
}

func (c *seats) rest(seat *order.Element) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.MoveBefore(seat, c.middle)
}

func (c *seats) left(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seat := c.all[conn]; seat != nil {
		c.order.Remove(seat)
		delete(c.all, conn)
	}
}
