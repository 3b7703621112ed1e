package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"roamproxy/cmd/roamproxy/config"
)

// door is where connections come in: a listener, and the servers that take them from it, one after the other. A server's timeouts
// cannot change while it serves, so other timeouts are another server; a connection ends in the server that took it.
type door struct {
	listener deadlined
	conns    *connLimiter
	make     func(config.Limits) *http.Server
	wrap     func(*http.Server, net.Listener) net.Listener // nil: not at all
	failed   chan<- error                                  // gets what ends serving unasked

	mu      sync.Mutex    // guards the following
	limits  config.Limits // in force
	turn    *turn
	servers []*http.Server // one for each time that the timeouts changed
	ending  bool
}

// deadlined is a listener that can be called away from waiting, as TCP's and Unix' can.
type deadlined interface {
	net.Listener
	SetDeadline(time.Time) error
}

// serve takes connections from now on under these limits. Those that are open keep the timeouts that they began with.
func (d *door) serve(l config.Limits) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending {
		return
	}
	d.conns.setLimit(l.MaxConnections)
	if d.turn != nil {
		if l.ReadHeaderTimeout == d.limits.ReadHeaderTimeout && l.IdleTimeout == d.limits.IdleTimeout {
			return
		}
		d.turn.end()
	}
	s := d.make(l)
	t := &turn{deadlined: d.listener, ended: make(chan struct{})}
	d.limits, d.turn, d.servers = l, t, append(d.servers, s)
	d.conns.attach(s)
	var from net.Listener = t
	if d.wrap != nil {
		from = d.wrap(s, t)
	}
	go func() {
		defer close(t.ended)
		if err := s.Serve(from); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, errOver) {
			d.failed <- err
		}
	}()
}

// shutdown takes no new connections, and returns when the last request is answered, or with the context's error.
func (d *door) shutdown(ctx context.Context) error {
	d.mu.Lock()
	d.ending = true
	servers := d.servers
	d.mu.Unlock()
	errs := make([]error, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() { errs[i] = s.Shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// close ends every connection at once.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = true
	for _, s := range d.servers {
		s.Close()
	}
}

// turn is the listener for as long as one server has it.
type turn struct {
	deadlined
	over  atomic.Bool
	ended chan struct{} // closed when the server takes no more connections
}

var errOver = errors.New("another server takes the connections now")

// end calls the server away, and leaves the listener to the next. A connection that it has just taken is its own.
func (t *turn) end() {
	t.over.Store(true)
	t.SetDeadline(time.Unix(1, 0))
	<-t.ended
	t.SetDeadline(time.Time{})
}

func (t *turn) Accept() (net.Conn, error) {
	if t.over.Load() {
		return nil, errOver
	}
	c, err := t.deadlined.Accept()
	if err != nil && t.over.Load() {
		return nil, errOver
	}
	return c, err
}

// Close closes the listener, unless the next server has it.
func (t *turn) Close() error {
	if t.over.Load() {
		return nil
	}
	return t.deadlined.Close()
}
