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
	Invalidate(match func(route string) bool)
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

// claimInterval is the time between looks at what another replica is filling: short beside a call to Roam.
const claimInterval = 50 * time.Millisecond

// fetchOrClaim has an answer that another replica got, or asks Roam for all of them.
func (c *Cache) fetchOrClaim(ctx context.Context, q lookup, fill Fill, call Call) (*fetchResult, error) {
	r := c.o.Shared
	if r == nil || q.Seal == nil || !q.Rule.Stores() {
		return c.fetch(ctx, q, fill, call)
	}
	for waited := false; ; waited = true {
		under := c.beginFetch(q.Route)
		found := r.Claim(q.key, q.Route, q.Seal, true)
		if e := found.Entry; e != nil && e.Route == q.Route && e.ttl(q.Rule, time.Now()) > 0 {
			c.endFetch(under, q.Lookup, e)
			if found.Lock != "" {
				r.Release(q.key, found.Lock)
			}
			if !under.invalidated { // it is no longer under way, so nobody writes that
				return &fetchResult{Answer: e.replicaAnswer(q.Rule, time.Now(), waited)}, nil
			}
			continue
		}
		c.endFetch(under, q.Lookup, nil)
		if q.generation = found.Generation; found.Generation == "" {
			return c.fetch(ctx, q, fill, call) // Redis is away
		}
		if found.Lock != "" {
			defer r.Hold(q.key, found.Lock)()
			return c.fetch(ctx, q, fill, call)
		}
		select {
		case <-time.After(claimInterval): // another replica asks for all
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// replicaAnswer is an answer of another replica: kept, or one that we waited for.
func (e *Entry) replicaAnswer(r Rule, now time.Time, waited bool) *Answer {
	a := e.answer(Hit, r, now)
	if waited {
		a.Result, a.fwd = Shared, "uri-miss"
	}
	return a
}

// putShared has what was just kept there for all replicas, for as long as it may be served.
func (c *Cache) putShared(q lookup, e *Entry) {
	if c.o.Shared == nil || q.Seal == nil {
		return
	}
	life := e.ttl(q.Rule, time.Now())
	if !e.Strict {
		life += q.Rule.Stale
	}
	c.o.Shared.Put(q.Key, e, q.Seal, q.generation, life)
}
