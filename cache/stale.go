package cache

import (
	"context"
	"time"
)

// staleDetail tells why an old answer is served at once, although nobody has refused or failed, or nothing.
//
// Two things make it so. The line stands still: then waiting would bring nothing that is worth it. Or somebody is asking Roam
// already, or may do so in the background because a token lies there that nobody waits for. The second holds only for as
// long after the answer expired as it was fresh, so that what is read all the time never waits, and what is read seldom is
// never older than twice its ttl while all is well: a refresh begins with a reader, and stops when there is none.
func (c *Cache) staleDetail(ctx context.Context, q lookup, wants directives, now time.Time) string {
	if q.entry == nil || !q.entry.isServableStale(q.Rule, wants, now) {
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

// refresh tells whether Roam is being asked, and begins to in the background when there is nothing else to be done there.
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

// lifetime is how long the entry is fresh, by its rule.
func (e *Entry) lifetime(r Rule) time.Duration {
	if r.Origin {
		return e.Lifetime
	}
	return r.TTL
}

func (e *Entry) staleAnswer(r Rule, now time.Time, detail string) *Answer {
	a := e.answer(Stale, r, now)
	a.Detail = detail
	return a
}
