package proxy

import (
	"os"
	"sync"
	"time"
)

// deadline is that of a connection's reads or writes. net/http and we set nine for one hit, most of which are taken back before
// anybody waits, and each changes a timer of the runtime. So the connection is told of one only when somebody reads or writes,
// and only where it differs from the one that stands: with two cores a hit on one connection then takes 27 µs of CPU rather
// than 34, the tool's side included (BenchmarkHitOnTheWire); on one core, with 32 connections and a busy machine, 36 rather than 45.
type deadline struct {
	tell func(time.Time) error // sets it on the connection

	mu     sync.Mutex // guards the following; held while tell is called
	wanted time.Time  // zero: none
	stands time.Time  // as the connection was told last
	users  int        // who read or write now, for whom a change counts at once
}

// nearly is how much earlier than wanted a deadline may end: nobody notices in one of seconds, and a connection that is asked all
// the time need not be told more than twenty times a second.
const nearly = 50 * time.Millisecond

// want changes the deadline.
func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.users > 0 {
		return d.stand()
	}
	return nil
}

// begin must be called before a read or write, which may go on where there is no error, and end after it.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	early := d.wanted.Sub(d.stands)
	switch {
	case d.wanted.Equal(d.stands), !d.wanted.IsZero() && !d.stands.IsZero() && early >= 0 && early <= nearly:
	case !d.wanted.IsZero() && time.Until(d.wanted) <= 0:
		return os.ErrDeadlineExceeded // as net/http wants of the read that watches a tool, at the end of its call
	default:
		if err := d.stand(); err != nil {
			return err
		}
	}
	d.users++
	return nil
}

func (d *deadline) end() {
	d.mu.Lock()
	d.users--
	d.mu.Unlock()
}

// stand has the connection heed what is wanted. The lock is held.
func (d *deadline) stand() error {
	d.stands = d.wanted
	return d.tell(d.wanted)
}
