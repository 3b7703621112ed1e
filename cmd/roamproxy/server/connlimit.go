package server

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// connLimiter caps open connections. At the cap it closes the longest-idle connection that has no complete request in flight; if
// all are busy it closes the new one. So idle connections and requests that never end cannot lock others out.
type connLimiter struct {
	mu      sync.Mutex // guards the following
	limit   int
	all     map[net.Conn]*list.Element
	order   *list.List    // of net.Conn: idle ones, longest idle first; then divider; then busy ones
	divider *list.Element // a request moves its connection past it without an allocation
}

func newConnLimiter() *connLimiter {
	c := &connLimiter{all: make(map[net.Conn]*list.Element), order: list.New()}
	c.divider = c.order.PushBack(nil)
	return c
}

// setLimit sets the cap. Open connections stay; the next new ones close idle ones.
func (c *connLimiter) setLimit(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = n
}

type connKey struct{}

// attach limits the connections of a server. It wraps Handler and ConnContext, and replaces ConnState.
func (c *connLimiter) attach(s *http.Server) {
	s.Handler = &limitHandler{s.Handler, c}
	next := s.ConnContext
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		element := c.opened(conn)
		if next != nil {
			ctx = next(ctx, conn)
		}
		return context.WithValue(ctx, connKey{}, element)
	}
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			c.closed(conn)
		}
	}
}

// limitHandler marks a connection busy while one of its requests is handled.
type limitHandler struct {
	http.Handler
	conns *connLimiter
}

func (h *limitHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	element := r.Context().Value(connKey{}).(*list.Element)
	h.conns.busy(element)
	defer h.conns.idle(element)
	h.Handler.ServeHTTP(w, r)
}

// opened adds a connection as idle. Over the cap it closes the longest-idle connection, which is the new one when all others are busy.
func (c *connLimiter) opened(conn net.Conn) *list.Element {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.order.InsertBefore(conn, c.divider)
	c.all[conn] = element
	for len(c.all) > c.limit && c.order.Front() != c.divider {
		longest := c.order.Remove(c.order.Front()).(net.Conn)
		delete(c.all, longest)
		longest.Close()
	}
	return element
}

// busy and idle do nothing for a connection that opened has closed: its element is in no list any more.
func (c *connLimiter) busy(element *list.Element) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.MoveToBack(element)
}

func (c *connLimiter) idle(element *list.Element) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.MoveBefore(element, c.divider)
}

func (c *connLimiter) closed(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element := c.all[conn]; element != nil {
		c.order.Remove(element)
		delete(c.all, conn)
	}
}
