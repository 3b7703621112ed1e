package server

import (
	"net"
	"testing"
)

// fakeConn is a connection that remembers whether it was closed.
type fakeConn struct {
	net.Conn
	closed bool
}

func (s *fakeConn) Close() error { s.closed = true; return nil }

// The longest-idle connection is closed; the new one where all others are busy.
func TestTheLongestIdleConnectionIsClosed(t *testing.T) {
	c := newConnLimiter()
	c.setLimit(2)
	var a, b, fresh, last, another fakeConn
	elementA, _ := c.opened(&a), c.opened(&b)
	c.busy(elementA)
	c.idle(elementA) // now b is the longest-idle one
	elementN := c.opened(&fresh)
	if a.closed || !b.closed || fresh.closed {
		t.Errorf("closed: a %v, b %v, fresh %v; want b alone", a.closed, b.closed, fresh.closed)
	}
	c.busy(elementA)
	c.busy(elementN)
	elementL := c.opened(&last)
	if a.closed || fresh.closed || !last.closed {
		t.Errorf("closed: a %v, fresh %v, the last one %v; want the last one alone", a.closed, fresh.closed, last.closed)
	}
	c.busy(elementL) // it was closed: nothing happens
	c.idle(elementL)
	c.closed(&last)
	c.closed(&a)
	c.opened(&another)
	if fresh.closed || another.closed || len(c.all) != 2 || c.order.Len() != 3 {
		t.Errorf("a connection that ended still counts: %d counted, %d in the order", len(c.all), c.order.Len())
	}
}
