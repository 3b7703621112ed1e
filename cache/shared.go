package cache

import (
	"context"
	"time"
)

// obtain has an answer that another replica got, or asks Roam for all of them.
func (c *Cache) obtain(ctx context.Context, q question, fill Fill, call Call) (*fetched, error) {
	r := c.o.Shared
	if r == nil {
		return c.fetch(ctx, q, fill, call)
	}
	for waited := false; ; waited = true {
		under := c.begin(q.Route)
		found := r.claim(q.key, q.Route, true)
		if e := found.entry; e != nil && e.Route == q.Route && e.ttl(q.Rule, time.Now()) > 0 {
			c.end(under, q.Question, e)
			if found.lock != "" {
				r.release(q.key, found.lock)
			}
			if !under.dropped { // it is no longer under way, so nobody writes that
				return &fetched{Answer: e.found(q.Rule, time.Now(), waited)}, nil
			}
			continue
		}
		c.end(under, q.Question, nil)
		if q.generation = found.generation; found.generation == "" {
			return c.fetch(ctx, q, fill, call) // Redis is away
		}
		if found.lock != "" {
			defer r.hold(q.key, found.lock)()
			return c.fetch(ctx, q, fill, call)
		}
		select {
		case <-time.After(peek): // another replica asks for all
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// found is an answer of another replica: kept, or one that we waited for.
func (e *Entry) found(r Rule, now time.Time, waited bool) *Answer {
	a := e.answer(Hit, r, now)
	if waited {
		a.Result, a.fwd = Shared, "uri-miss"
	}
	return a
}

// shareOut has what was just kept there for all replicas, for as long as it may be served.
func (c *Cache) shareOut(q question, e *Entry) {
	if c.o.Shared == nil {
		return
	}
	life := e.ttl(q.Rule, time.Now())
	if !e.Strict {
		life += q.Rule.Stale
	}
	c.o.Shared.put(q.Key, e, q.generation, life)
}
