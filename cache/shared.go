package cache

import (
	"context"
	"time"
)

// Tier is what replicas have in common. Its methods may be called by many goroutines.
type Tier interface {
	// Claim looks for an answer that was sealed with seal and, where wanted, asks for the right to fetch one.
	Claim(k Key, route string, seal []byte, wanted bool) Claim
	// Hold keeps the lock of a Claim until release is called, which gives it back.
	Hold(k Key, lock string) (release func())
	// Release gives a lock back at once.
	Release(k Key, lock string)
	// Put has an answer, sealed, there for all, for as long as life, unless its route was dropped since the Claim with that generation.
	Put(k Key, e *Entry, seal []byte, generation string, life time.Duration)
	// Drop forgets routes everywhere, and returns when all replicas that listen have, or after a while.
	Drop(match func(route string) bool)
	// Start has forget called for what other replicas drop, until Close.
	Start(forget func(match func(route string) bool) int)
	Close()
}

// Claim is what a fill has of a question.
type Claim struct {
	Entry      *Entry // by another replica; nil: none
	Generation string // of the route when the claim was made; "": the others cannot be reached
	Lock       string // "": another replica is asking Roam
}

// peek is the time between looks at what another replica is filling: short beside a call to Roam.
const peek = 50 * time.Millisecond

// obtain has an answer that another replica got, or asks Roam for all of them.
func (c *Cache) obtain(ctx context.Context, q question, fill Fill, call Call) (*fetched, error) {
	r := c.o.Shared
	if r == nil || q.Seal == nil || !q.Rule.Keeps() {
		return c.fetch(ctx, q, fill, call)
	}
	for waited := false; ; waited = true {
		under := c.begin(q.Route)
		found := r.Claim(q.key, q.Route, q.Seal, true)
		if e := found.Entry; e != nil && e.Route == q.Route && e.ttl(q.Rule, time.Now()) > 0 {
			c.end(under, q.Question, e)
			if found.Lock != "" {
				r.Release(q.key, found.Lock)
			}
			if !under.dropped { // it is no longer under way, so nobody writes that
				return &fetched{Answer: e.found(q.Rule, time.Now(), waited)}, nil
			}
			continue
		}
		c.end(under, q.Question, nil)
		if q.generation = found.Generation; found.Generation == "" {
			return c.fetch(ctx, q, fill, call) // Redis is away
		}
		if found.Lock != "" {
			defer r.Hold(q.key, found.Lock)()
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
	if c.o.Shared == nil || q.Seal == nil {
		return
	}
	life := e.ttl(q.Rule, time.Now())
	if !e.Strict {
		life += q.Rule.Stale
	}
	c.o.Shared.Put(q.Key, e, q.Seal, q.generation, life)
}
