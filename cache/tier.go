package cache

import (
	"context"
	"time"
)

// Tier is the second tier of a Cache, which replicas share. Its methods are safe for concurrent use.
type Tier interface {
	// Claim returns an entry that was sealed with seal and, where lock is set, tries to take the lock of its fill.
	Claim(k Key, route string, seal []byte, lock bool) Claim
	// Hold renews the lock of a Claim until release is called, which releases it.
	Hold(k Key, lock string) (release func())
	// Release releases a lock at once.
	Release(k Key, lock string)
	// Put stores an entry, sealed, for all replicas and for as long as life. It does nothing if the route was invalidated since
	// the Claim with that generation.
	Put(k Key, e *Entry, seal []byte, generation string, life time.Duration)
	// Invalidate removes the entries of routes in the tier and in every replica's memory. It returns when all replicas that
	// listen have done so, or after a bounded time.
	Invalidate(match func(route string) bool)
	// Start calls invalidate for what other replicas invalidate, until Close.
	Start(invalidate func(match func(route string) bool) int)
	Close()
}

// Claim is the state of one key in the tier.
type Claim struct {
	Entry      *Entry // of another replica; nil: none
	Generation string // of the route at the time of the claim; "": Redis is unreachable
	Lock       string // "": another replica holds it, and fetches
}

// claimInterval is the time between two looks at a key that another replica fills: short compared with an upstream call.
const claimInterval = 50 * time.Millisecond

// fetchOrClaim returns the entry of another replica, or fetches for all replicas.
func (c *Cache) fetchOrClaim(ctx context.Context, q lookup, fill Fill, call Call) (*fetchResult, error) {
	r := c.o.Shared
	if r == nil || q.Seal == nil || !q.Rule.Stores() {
		return c.fetch(ctx, q, fill, call)
	}
	for waited := false; ; waited = true {
		active := c.beginFetch(q.Route)
		found := r.Claim(q.key, q.Route, q.Seal, true)
		if e := found.Entry; e != nil && e.Route == q.Route && e.ttl(q.Rule, time.Now()) > 0 {
			c.endFetch(active, q.Lookup, e)
			if found.Lock != "" {
				r.Release(q.key, found.Lock)
			}
			if !active.invalidated { // after endFetch no goroutine changes it
				return &fetchResult{Answer: e.replicaAnswer(q.Rule, time.Now(), waited)}, nil
			}
			continue
		}
		c.endFetch(active, q.Lookup, nil)
		if q.generation = found.Generation; found.Generation == "" {
			return c.fetch(ctx, q, fill, call) // Redis is unreachable
		}
		if found.Lock != "" {
			defer r.Hold(q.key, found.Lock)()
			return c.fetch(ctx, q, fill, call)
		}
		select {
		case <-time.After(claimInterval): // another replica fetches
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// replicaAnswer returns the answer of another replica: a hit, or shared where this replica waited for it.
func (e *Entry) replicaAnswer(r Rule, now time.Time, waited bool) *Answer {
	a := e.answer(Hit, r, now)
	if waited {
		a.Result, a.fwd = Shared, fwdMiss
	}
	return a
}

// putShared stores a new entry for all replicas, for as long as it may be served.
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
