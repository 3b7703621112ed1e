package cache

import (
	"context"
	"time"
)

// staleDetail returns why an old entry is served at once, before any refusal or failure, or "".
//
// There are two reasons. First, the queue is paused: waiting would not give a better answer soon. Second, a fill of this key runs,
// or one can run in the background because a token is there that no call waits for. The second reason holds only for as long
// after expiry as the entry was fresh. So an entry that is read all the time never makes a request wait. One that is read seldom
// is never older than twice its ttl while all is well. A refresh begins with a reader, and stops when there is none.
func (c *Cache) staleDetail(ctx context.Context, q lookup, control directives, now time.Time) Detail {
	if q.entry == nil || !q.entry.isServableStale(q.Rule, control, now) {
		return ""
	}
	idle, paused := q.requester.Queue()
	late := -q.entry.ttl(q.Rule, now)
	switch {
	case paused:
		return Throttled
	case q.Head || late >= q.entry.lifetime(q.Rule):
		return ""
	case c.refresh(ctx, q, idle):
		return Revalidating
	}
	return ""
}

// refresh reports whether a fill of this key runs, and starts one in the background if the queue is idle.
func (c *Cache) refresh(ctx context.Context, q lookup, idle bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fills[q.key] != nil {
		return true
	}
	if !idle || c.closed {
		return false
	}
	c.start(ctx, q, Call{Background: true})
	return true
}

// lifetime returns how long the entry is fresh in total, by its rule.
func (e *Entry) lifetime(r Rule) time.Duration {
	if r.Origin {
		return e.Lifetime
	}
	return r.TTL
}

func (e *Entry) staleAnswer(r Rule, now time.Time, detail Detail) *Answer {
	a := e.answer(Stale, r, now)
	a.Detail = detail
	return a
}
