package limiter

import (
	"context"
	"sync"
	"time"
)

// Call is one call to Roam with all its attempts, as far as the queue needs to know. One Call belongs to one request.
type Call struct {
	Caller     Caller
	Background bool // sent only with a token that no other call waits for; refused, and not sent again, otherwise

	Waited time.Duration // in the queue, over all attempts

	mu     sync.Mutex // guards all below; taken before a Queue's lock
	early  []Caller   // that joined before the call was queued
	queue  *Queue
	queued *call
}

// Favour adds a caller that waits for this call's response too. From now on the call is queued as the most favoured of its callers
// would be: it has the best of the places that each of them would have, in that one's flow, and waits until the last of their deadlines.
// The tool in whose flow it is dispatched pays for it. Favour may be called at any time and by many; after the call was sent it
// only matters should Roam refuse it. A Background call has no place to improve.
func (c *Call) Favour(caller Caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued == nil {
		c.early = append(c.early, caller)
		return
	}
	favour(c.queue, c.queued, caller)
}

// Wait waits in q for the permit of the next attempt, which is ended with Release. The first time it is as Queue.Wait; where one of the
// call's callers is admitted, all are. Later the call is at the front of its tool's flow, with its first deadline, and is not refused for
// the queue's length. The time counts however that ends. It is called by one goroutine at a time.
func (c *Call) Wait(ctx context.Context, q *Queue) (*Permit, error) {
	begun := time.Now()
	defer func() { c.Waited += time.Since(begun) }()
	switch {
	case c.Background:
		return q.tryWait(ctx, c.Caller)
	case c.queued == nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	queued, err := c.enqueue(q)
	if err != nil {
		return nil, err
	}
	return q.await(ctx, queued)
}

func (c *Call) enqueue(q *Queue) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued != nil {
		return c.queued, q.requeue(c.queued)
	}
	queued, err := q.enqueue(c.Caller)
	for _, other := range c.early {
		if err != nil {
			queued, err = q.enqueue(other)
		} else {
			favour(q, queued, other)
		}
	}
	if err == nil {
		c.queue, c.queued = q, queued
	}
	return queued, err
}

// favour gives a queued call the better of its own place and that of a call that caller made now.
func favour(q *Queue, c *call, caller Caller) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state.favour(q.now(), c, caller)
}
