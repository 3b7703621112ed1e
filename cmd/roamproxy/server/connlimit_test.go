package server

import (
	"net"
	"testing"
)

// seated is a connection that knows whether it was closed.
type seated struct {
	net.Conn
	closed bool
}

func (s *seated) Close() error { s.closed = true; return nil }

// Room is made by who has been of no use for the longest, and by the newcomer where all others are of use.
func TestWhoMakesRoom(t *testing.T) {
	c := newConnLimiter()
	c.setLimit(2)
	var a, b, newcomer, last, another seated
	seatA, _ := c.opened(&a), c.opened(&b)
	c.busy(seatA)
	c.idle(seatA) // b has now been of no use for longer
	seatN := c.opened(&newcomer)
	if a.closed || !b.closed || newcomer.closed {
		t.Errorf("closed: a %v, b %v, newcomer %v; want b alone", a.closed, b.closed, newcomer.closed)
	}
	c.busy(seatA)
	c.busy(seatN)
	seatL := c.opened(&last)
	if a.closed || newcomer.closed || !last.closed {
		t.Errorf("closed: a %v, newcomer %v, the last one %v; want the last one alone", a.closed, newcomer.closed, last.closed)
	}
	c.busy(seatL) // its seat is gone: nothing happens
	c.idle(seatL)
	c.closed(&last)
	c.closed(&a)
	c.opened(&another)
	if newcomer.closed || another.closed || len(c.all) != 2 || c.order.Len() != 3 {
		t.Errorf("a seat that became free was not given: %d taken, %d in the order", len(c.all), c.order.Len())
	}
}
