// Package cache keeps Roam's answers to reads for a while, so that a question which was just answered costs no call.
//
// Do is all there is to it: a fresh answer at once, or one fill that everybody who asks the same shares.
//
//	question ──► kept and fresh? ──yes──► hit
//	                 │ no
//	                 ▼
//	             kept, and may stand in? ──the line stands still, or a refresh is under way──► stale
//	                 │ no
//	                 ▼
//	             asked already? ──yes──► shared: wait for that fill
//	                 │ no
//	                 ▼
//	               fill ──► kept, unless a write came between ──► miss
//	                 │ refused or failed, and an old answer may still be served
//	                 ▼
//	               stale
//
// Freshness follows a rule, because Roam documents no caching headers. Where a rule says so, it follows RFC 9111, as a shared
// cache that belongs to one principal, the credential. The tests are named after its sections. It departs from the RFC thus:
//
//   - Only a complete 200 is kept, where Roam's headers decide also a 203, 301, 302, 404 or 410 with explicit freshness, and nothing is fresh by heuristic (section 4.2.2): a wrong answer is worse than a slow one.
//   - A rule's ttl takes the place of max-age, s-maxage, Expires and no-cache, which is what it is for; never of no-store and
//     private, and what no-cache and must-revalidate say about stale answers holds.
//   - private and no-cache with field names count as without (5.2.2.4, 5.2.2.7), and must-understand as absent: kept less.
//   - Answers to requests with Authorization are kept without being asked to (3.5): the key holds the credential.
//   - The age knows nothing of how Roam's clock differs from ours (4.2.3, apparent_age): a clock five minutes ahead would end
//     every ttl of 30 s. Nor does If-Modified-Since compare with Date where there is no Last-Modified (4.3.2): two answers of
//     one second, and a write between them, would look the same.
//   - A HEAD does not refresh what is kept (4.3.5), and a write drops by noun and not by URI (4.4), which is more.
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

// Result is how Do came by an answer. Metrics, log and status page use the same words.
type Result string

// The results of Do.
const (
	Hit    Result = "hit"
	Miss   Result = "miss"
	Shared Result = "shared"
	Stale  Result = "stale"
	Bypass Result = "bypass"
)

// Details say why an answer is stale.
const (
	Throttled    = "throttled"    // the quota is paused, or the wait is longer than the tool's longest
	Failed       = "error"        // Roam fails
	Revalidating = "revalidating" // a refresh is under way
)

// Options says how a Cache behaves. A bound of zero takes the default that its line names.
type Options struct {
	MaxSize     int64            // bytes of all kept answers; 64 MiB
	MaxBody     int64            // a larger answer is passed through, not kept; 4 MiB
	FillTimeout time.Duration    // a fill's own deadline, as it may outlive who asked first; 2 min
	Throttled   func(error) bool // whether an error of a fill is about the quota and not about Roam; nil: none is
	Store       Store            // nil: NewMemory(MaxSize)
	Shared      Tier             // what replicas have in common; nil: nothing
}

// Requester is the request on whose behalf Do works, as far as the cache needs to know it. Its methods must be quick.
type Requester interface {
	// Queue reports whether an upstream call of this request would be sent at once, with no other call queued, and whether the queue is
	// paused.
	Queue() (idle, paused bool)
	// MaxWait is how long it would wait in the queue; below 0: as long as it takes.
	MaxWait() time.Duration
	// NewFill begins an upstream call.
	NewFill() Fill
}

// Fill is one upstream call, for one request or for all that ask the same. Its methods may be called by many goroutines.
type Fill interface {
	// Fetch sends the call. ctx is the fill's own, which outlives the request that began it. Fetch is called again, after it returned,
	// where the response was of no use.
	Fetch(ctx context.Context, c Call) (*http.Response, error)
	// Join adds a request that waits for the response too: the call is to be queued as the most favoured of its requests would be.
	Join(Requester)
	// Expired is asked at the end of a request's longest wait. The error says that the call is still queued; nil: it was sent.
	Expired(Requester) error
}

// Rule says how long an answer is fresh.
type Rule struct {
	TTL    time.Duration // 0: never kept, unless Origin
	Stale  time.Duration // may be served this long after, while Roam throttles, fails or is being asked again
	Origin bool          // Roam's headers decide (RFC 9111), and nothing is kept without them
}

// Stores reports whether the rule stores any answer.
func (r Rule) Stores() bool { return r.TTL > 0 || r.Origin }

// Lookup is what a tool asks.
type Lookup struct {
	Key     Key
	Route   string // by which Drop finds the answer
	Rule    Rule
	Head    bool        // a HEAD: answered from a kept GET, and otherwise passed through
	Shares  bool        // equal requests at the same time share one fill, also where nothing is kept
	Request http.Header // the tool's: Cache-Control, Range, and what an answer may vary with
	Seal    []byte      // authenticates the answer for the other replicas; nil: they do not share it
}

// Call says how Roam is to be asked.
type Call struct {
	Conditions  http.Header // to be sent in place of the tool's own; nil: none
	PassThrough bool        // the tool's own conditions and range go to Roam: the answer is for it alone
	Background  bool        // no request waits for the answer: to be sent only if no other call waits for the token either
}

// Cache keeps answers. It may be used by many goroutines.
type Cache struct {
	o     Options
	store Store

	mu      sync.Mutex // guards the following; held while an answer is put into the store, and never during a fill
	fills   map[Key]*sharedFill
	fetches map[*activeFetch]struct{} // every fill under way, shared or not
	closed  bool

	running sync.WaitGroup // flights, which may outlive who asked
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
	c := &Cache{o: o, store: o.Store, fills: make(map[Key]*sharedFill), fetches: make(map[*activeFetch]struct{})}
	if o.Shared != nil {
		o.Shared.Start(c.invalidateLocal)
	}
	return c, nil
}

// Close calls off the refreshes in the background, and ends the store. No Do may be under way.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.fills {
		f.cancel()
	}
	c.mu.Unlock()
	c.running.Wait()
	if c.o.Shared != nil {
		c.o.Shared.Close()
	}
	c.store.Close()
}

// Size is how much is kept.
func (c *Cache) Size() (bytes int64, entries int) { return c.store.Size() }

// Do answers a question of a request, from what is kept or by a fill. The error is ErrOnlyIfCached, the fill's, or the cause of ctx.
func (c *Cache) Do(ctx context.Context, q Lookup, by Requester) (*Answer, error) {
	wants := parseDirectives(q.Request["Cache-Control"])
	if !q.Rule.Stores() && !q.Shares || wants.has("no-store") || isConditional(q.Request) {
		if wants.has("only-if-cached") {
			return nil, ErrOnlyIfCached
		}
		return c.passThrough(ctx, by, "bypass")
	}
	key, kept := c.find(q)
	now := time.Now()
	if kept != nil && kept.satisfies(q.Rule, wants, now) {
		if kept.ttl(q.Rule, now) <= 0 {
			return kept.answer(Stale, q.Rule, now), nil
		}
		return kept.answer(Hit, q.Rule, now), nil
	}
	if wants.has("only-if-cached") {
		return nil, ErrOnlyIfCached
	}
	if detail := c.staleDetail(ctx, lookup{q, key, kept, by, ""}, wants, now); detail != "" {
		return kept.staleAnswer(q.Rule, now, detail), nil
	}
	var a *Answer
	var err error
	switch asked := (lookup{q, key, kept, by, ""}); {
	case q.Head:
		a, err = c.passThrough(ctx, by, "uri-miss")
	case wants.has("no-cache"):
		a, err = c.fetchAlone(ctx, asked, "request") // what is under way may be older than what the tool wants
	default:
		a, err = c.share(ctx, asked)
	}
	if detail := c.failureDetail(ctx, a, err); detail != "" {
		_, kept := c.find(q) // it may have been dropped meanwhile
		if now := time.Now(); kept != nil && kept.isServableStale(q.Rule, wants, now) {
			a.close()
			return kept.staleAnswer(q.Rule, now, detail), nil
		}
	}
	switch {
	case a == nil:
	case !q.Rule.Stores():
		a.bypass()
	case kept != nil && a.fwd == "uri-miss":
		a.fwd = "stale"
	}
	return a, err
}

// OnlyIfCached tells whether a request wants a kept answer or none.
func OnlyIfCached(request http.Header) bool {
	return parseDirectives(request["Cache-Control"]).has("only-if-cached")
}

// lookup is a Lookup with what is kept of it.
type lookup struct {
	Lookup
	key       Key // of the form of the answer that the request gets
	entry     *Entry
	requester Requester

	generation string // of the route among the replicas, before Roam is asked
}

// isConditional tells whether a request is about a part of the answer, or about a state that only Roam knows (RFC 9111, section 4.3.2).
func isConditional(h http.Header) bool {
	return h["Range"] != nil || h["If-Match"] != nil || h["If-Unmodified-Since"] != nil
}

// failureDetail tells why an old answer may stand in for this one, or nothing.
func (c *Cache) failureDetail(ctx context.Context, a *Answer, err error) string {
	switch {
	case ctx.Err() != nil:
		return ""
	case err != nil && c.o.Throttled(err), err == nil && a.Status == http.StatusTooManyRequests:
		return Throttled
	case err != nil, a.Status >= 500:
		return Failed
	}
	return ""
}

// passThrough asks Roam and keeps nothing.
func (c *Cache) passThrough(ctx context.Context, by Requester, fwd string) (*Answer, error) {
	res, err := by.NewFill().Fetch(ctx, Call{PassThrough: true})
	if err != nil {
		return nil, err
	}
	result := Bypass
	if fwd != "bypass" {
		result = Miss
	}
	return &Answer{Status: res.StatusCode, Header: endToEnd(res.Header), Stream: res.Body, Length: res.ContentLength, Age: ageOf(res.Header), Result: result, fwd: fwd}, nil
}
