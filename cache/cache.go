// Package cache keeps Roam's answers to reads for a while, so that a question which was just answered costs no call.
//
// Do is all there is to it: a fresh answer at once, or one fill that everybody who asks the same shares. Freshness follows a
// rule, because Roam sends no caching headers; where a rule says so, or where Roam forbids keeping, it follows RFC 9111, as a
// shared cache that belongs to one principal, the credential. It is stricter than the RFC in two ways: nothing but a complete
// 200 is kept, and nothing is fresh by heuristic.
//
//	question ──► kept and fresh? ──yes──► hit
//	                 │ no
//	                 ▼
//	             asked already? ──yes──► shared: wait for that fill
//	                 │ no
//	                 ▼
//	               fill ──► kept, unless a write came between ──► miss
//	                 │ refused or failed, and an old answer may still be served
//	                 ▼
//	               stale
package cache

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// ErrOnlyIfCached answers a request that wanted a kept answer or none (RFC 9111, section 5.2.1.7).
var ErrOnlyIfCached = errors.New("cache: nothing fresh is kept, and only-if-cached was asked for")

// Results of Do, the same words in headers, metrics and logs.
const (
	Hit    = "hit"
	Miss   = "miss"
	Shared = "shared"
	Stale  = "stale"
	Bypass = "bypass"
)

// Options says how a Cache behaves. A bound of zero takes the default that its line names.
type Options struct {
	MaxSize     int64            // bytes of all kept answers; 64 MiB
	MaxBody     int64            // a larger answer is passed through, not kept; 4 MiB
	FillTimeout time.Duration    // a fill's own deadline, as it may outlive who asked first; 2 min
	Throttled   func(error) bool // whether an error of a fill is about the quota and not about Roam; nil: none is
	Store       Store            // nil: NewMemory(MaxSize)
}

// Rule says how long an answer is fresh.
type Rule struct {
	TTL    time.Duration // 0: never kept, unless Origin
	Stale  time.Duration // may be served this long after, when Roam throttles or fails
	Origin bool          // Roam's headers decide (RFC 9111), and nothing is kept without them
}

// Keeps tells whether the rule keeps anything at all.
func (r Rule) Keeps() bool { return r.TTL > 0 || r.Origin }

// Question is what a tool asks.
type Question struct {
	Key     Key
	Route   string // by which Drop finds the answer
	Rule    Rule
	Head    bool        // a HEAD: answered from a kept GET, and otherwise passed through
	Request http.Header // the tool's: Cache-Control and Range are read
}

// Fill asks Roam. Its context is the fill's own and has the values of that of who asked first.
type Fill func(ctx context.Context) (*http.Response, error)

// Cache keeps answers. It may be used by many goroutines.
type Cache struct {
	o     Options
	store Store

	mu      sync.Mutex // guards the following; held while an answer is put into the store, and never during a fill
	flights map[Key]*flight
	under   map[*fill]struct{} // every fill under way, shared or not
}

// New makes a cache. Close must be called to end its store.
func New(o Options) (*Cache, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = 64 << 20
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 4 << 20
	}
	if o.FillTimeout <= 0 {
		o.FillTimeout = 2 * time.Minute
	}
	if o.Throttled == nil {
		o.Throttled = func(error) bool { return false }
	}
	if o.Store == nil {
		memory, err := NewMemory(o.MaxSize)
		if err != nil {
			return nil, err
		}
		o.Store = memory
	}
	return &Cache{o: o, store: o.Store, flights: make(map[Key]*flight), under: make(map[*fill]struct{})}, nil
}

// Close ends the store. No Do may be under way.
func (c *Cache) Close() { c.store.Close() }

// Size is how much is kept.
func (c *Cache) Size() (bytes int64, entries int) { return c.store.Size() }

// Do answers a question, from what is kept or by a fill. The error is ErrOnlyIfCached, the fill's, or the cause of ctx.
func (c *Cache) Do(ctx context.Context, q Question, ask Fill) (*Answer, error) {
	wants := parseDirectives(q.Request.Values("Cache-Control"))
	if !q.Rule.Keeps() || wants.has("no-store") || q.Request.Get("Range") != "" {
		return c.pass(ctx, ask, "bypass")
	}
	kept := c.store.Get(q.Key)
	now := time.Now()
	if kept != nil && !wants.has("no-cache") && kept.fresh(q.Rule, wants, now) {
		return kept.answer(Hit, q.Rule, now), nil
	}
	if wants.has("only-if-cached") {
		return nil, ErrOnlyIfCached
	}
	if q.Head {
		return c.pass(ctx, ask, "uri-miss")
	}
	var a *Answer
	var err error
	if wants.has("no-cache") {
		a, err = c.alone(ctx, q, ask) // what is under way may be older than what the tool wants
	} else {
		a, err = c.share(ctx, q, ask)
	}
	if detail := c.excuse(ctx, a, err); detail != "" && kept != nil && !wants.has("no-cache") {
		if kept := c.store.Get(q.Key); kept != nil && kept.servable(q.Rule, time.Now()) { // it may have been dropped meanwhile
			a.close()
			a = kept.answer(Stale, q.Rule, time.Now())
			a.Detail = detail
			return a, nil
		}
	}
	if a != nil && kept != nil && a.fwd == "uri-miss" {
		a.fwd = "stale"
	}
	return a, err
}

// excuse tells why an old answer may stand in for this one, or nothing.
func (c *Cache) excuse(ctx context.Context, a *Answer, err error) string {
	switch {
	case ctx.Err() != nil:
		return ""
	case err != nil && c.o.Throttled(err), err == nil && a.Status == http.StatusTooManyRequests:
		return "throttled"
	case err != nil, a.Status >= 500:
		return "error"
	}
	return ""
}

// pass asks Roam and keeps nothing.
func (c *Cache) pass(ctx context.Context, ask Fill, fwd string) (*Answer, error) {
	res, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	result := Bypass
	if fwd != "bypass" {
		result = Miss
	}
	return &Answer{Status: res.StatusCode, Header: res.Header, Stream: res.Body, Length: res.ContentLength, Result: result, fwd: fwd}, nil
}
