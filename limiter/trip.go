package limiter

import (
	"context"
	"net/textproto"
	"sync"
	"time"
)

// Trip is what the line needs to know of a request and, when RoundTrip has returned, what became of it.
type Trip struct {
	Caller Caller
	Spare  bool // sent only with a token that nobody waits for, as by Queue.TryWait; refused, and not repeated, otherwise

	// Interim hears of answers of 1xx, on a goroutine of net/http's that may still run when RoundTrip has returned. An error ends the
	// call; nil: nobody wants to hear.
	Interim func(status int, header textproto.MIMEHeader) error

	Waited   time.Duration // in the line, over all attempts
	Attempts int           // how often it was sent

	mu    sync.Mutex // guards all below; taken before a Queue's lock
	early []Caller   // who joined before the call came to the line
	queue *Queue
	call  *call
}

type tripKey struct{}

// WithTrip puts t on the context of a request that will go through a Transport. One Trip belongs to one request.
func WithTrip(ctx context.Context, t *Trip) context.Context {
	return context.WithValue(ctx, tripKey{}, t)
}

// Favour tells that caller waits for this trip's answer too. From now on the call stands in the line as the most favoured of
// its askers would: it has the best of the places that each would have had who came when he came, in his own tool's lane, and
// waits until the last of their deadlines. The turn is charged to the tool in whose lane it left. Favour may be called at any
// time and by many; after the call has left it only matters should Roam refuse it. A Spare trip has no place to improve.
func (t *Trip) Favour(caller Caller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.call == nil {
		t.early = append(t.early, caller)
		return
	}
	t.queue.favour(t.call, caller)
}

// wait stands in the line of q until it is the trip's turn. Whoever of its askers is let in takes the others along.
func (t *Trip) wait(ctx context.Context, q *Queue) (*Permit, error) {
	if t.Spare {
		return q.TryWait(ctx, t.Caller)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c, err := t.join(q)
	if err != nil {
		return nil, err
	}
	return q.stand(ctx, c)
}

func (t *Trip) join(q *Queue) (*call, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, err := q.join(&t.Caller)
	if len(t.early) > 0 {
		c, err = t.joinOthers(q, c, err)
	}
	if err == nil {
		t.queue, t.call = q, c
	}
	return c, err
}

// joinOthers is the call of the trip's caller, or of the first of the others that is let in where he was not, as favoured as any.
func (t *Trip) joinOthers(q *Queue, c *call, err error) (*call, error) {
	for _, other := range t.early {
		if err != nil {
			c, err = q.join(&other)
		} else {
			q.favour(c, other)
		}
	}
	return c, err
}

// favour makes c at least as well off as a call that caller made now.
func (q *Queue) favour(c *call, caller Caller) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	other, _ := q.call(now, caller)
	if other.deadline.After(c.deadline) {
		c.deadline = other.deadline
	}
	if c.index < 0 {
		return
	}
	q.deadlines.fix(c.due)
	q.line.favour(c, caller.Tool, other.urgency, other.rank)
}
