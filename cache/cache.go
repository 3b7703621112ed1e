// Package cache stores Roam's answers to reads for a short time, so that a repeated read costs no upstream call.
//
// Do is the whole interface: it returns a fresh entry at once, or the answer of one fill that all equal requests share.
//
//	lookup ──► entry, fresh? ──yes──► hit
//	               │ no
//	               ▼
//	           entry, servable stale? ──the queue is paused, or a refresh runs──► stale
//	               │ no
//	               ▼
//	           fill of this key runs? ──yes──► shared: wait for that fill
//	               │ no
//	               ▼
//	             fill ──► stored, unless a write invalidated it meanwhile ──► miss
//	               │ refused or failed, and the old entry is still servable
//	               ▼
//	             stale
//
// A rule decides how long an answer is fresh, because Roam documents no caching headers. A rule may also leave the decision to
// Roam's headers (RFC 9111). The cache is then a shared cache that belongs to one principal, the credential. The tests are named
// after the sections of the RFC. The cache departs from the RFC as follows:
//
//   - It stores only a complete 200. Where Roam's headers decide, it also stores a 203, 301, 302, 404 or 410 with explicit
//     freshness. Nothing is fresh by heuristic (section 4.2.2): a wrong answer is worse than a slow one.
//   - A rule's ttl replaces max-age, s-maxage, Expires and no-cache. It never replaces no-store or private, and no-cache and
//     must-revalidate still forbid to serve the answer stale.
//   - private and no-cache with field names count as without them (5.2.2.4, 5.2.2.7). must-understand counts as absent. Both
//     store less than the RFC allows.
//   - Answers to requests with Authorization are stored without permission (3.5): the key holds the credential.
//   - The age ignores the difference between Roam's clock and ours (4.2.3, apparent_age). A clock that is five minutes ahead
//     would end every ttl of 30 s.
//   - If-Modified-Since is not compared with Date where there is no Last-Modified (4.3.2). Two answers of one second, with a
//     write between them, would look the same.
//   - A HEAD does not refresh an entry (4.3.5). A write invalidates by noun and not by URI (4.4), which removes more.
package cache

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// ErrOnlyIfCached reports that a request accepts only a stored answer, and that there is no fresh one (RFC 9111, section 5.2.1.7).
var ErrOnlyIfCached = errors.New("cache: no fresh answer is stored, and the request allows no upstream call (only-if-cached)")

// Result is where an answer came from. Metrics, log and status page use the same words.
type Result string

// The results of Do.
const (
	Hit    Result = "hit"    // from a fresh entry
	Miss   Result = "miss"   // from Roam, by a fill of this request
	Shared Result = "shared" // from Roam, by the fill of another request
	Stale  Result = "stale"  // from an entry whose time is over
	Bypass Result = "bypass" // from Roam; the cache takes no part
)

// Results returns every Result.
func Results() []Result { return []Result{Hit, Miss, Shared, Stale, Bypass} }

// Detail is why an answer is stale, as Cache-Status reports it.
type Detail string

// The details of a stale answer.
const (
	Throttled    Detail = "throttled"    // the quota is paused, or the wait is longer than the tool's longest
	Failed       Detail = "error"        // the upstream call failed
	Revalidating Detail = "revalidating" // a fill runs already
)

// Options configures a Cache. A zero bound means the default that its line names.
type Options struct {
	MaxSize     int64            // bytes of all entries; default 64 MiB
	MaxBody     int64            // bytes; a larger answer is passed through and not stored; default 4 MiB
	FillTimeout time.Duration    // a fill's own deadline, since it may outlive its first request; default 2 min
	Throttled   func(error) bool // reports whether a fill failed because of the quota and not because of Roam; nil: never
	Store       Store            // default NewMemory(MaxSize)
	Shared      Tier             // the entries that replicas share; nil: none
}

// Requester is the request for which Do works, as far as the cache must know it. Its methods must be quick.
type Requester interface {
	// Queue reports whether an upstream call of this request would be sent at once, with no other call queued, and whether
	// the queue is paused.
	Queue() (idle, paused bool)
	// MaxWait returns how long the request may wait in the queue; below 0: without limit.
	MaxWait() time.Duration
	// NewFill prepares an upstream call.
	NewFill() Fill
}

// Fill is one upstream call, for one request or for all equal ones. Its methods are safe for concurrent use.
type Fill interface {
	// Fetch sends the call. ctx is the fill's own and outlives the request that began it. The cache calls Fetch a second time
	// where the first response was unusable.
	Fetch(ctx context.Context, c Call) (*http.Response, error)
	// Join adds a request that waits for the same response. The call then has the best place in the queue that any of its
	// requests would have.
	Join(Requester)
	// Expired is called at the end of a request's longest wait. It returns an error while the call is still queued, and nil
	// once it was sent.
	Expired(Requester) error
}

// Rule is how long an answer is fresh and how long it may be served stale.
type Rule struct {
	TTL    time.Duration // 0: never stored, unless Origin
	Stale  time.Duration // served stale this long after, while the queue is paused, Roam fails or a fill runs
	Origin bool          // Roam's headers decide (RFC 9111); without them nothing is stored
}

// Stores reports whether the rule stores any answer.
func (r Rule) Stores() bool { return r.TTL > 0 || r.Origin }

// Lookup is what Do looks up for a request.
type Lookup struct {
	Key     Key
	Route   string // by which Invalidate finds the entry
	Rule    Rule
	Head    bool        // a HEAD: answered from the entry of its GET, else passed through
	Shares  bool        // concurrent equal requests share one fill, even where nothing is stored
	Request http.Header // header of the tool's request: Cache-Control, Range, and the fields that an answer may vary with
	Seal    []byte      // authenticates the entry for other replicas; nil: it is not shared with them
}

// Call is how a fill sends its request.
type Call struct {
	Conditions  http.Header // replace those of the tool's request; nil: none
	PassThrough bool        // sends the tool's own conditions and range: the answer is for that tool alone
	Background  bool        // no request waits for the answer: sent only if no other call waits for the token
}

// Cache stores answers. It is safe for concurrent use.
type Cache struct {
	o     Options
	store Store

	mu      sync.Mutex // guards the following; held while an entry is put into the store, never during a fill
	fills   map[Key]*sharedFill
	fetches map[*activeFetch]struct{} // all that run, shared or not
	closed  bool

	running sync.WaitGroup // counts the goroutines of fills, which may outlive their requests
}

// New returns a Cache. Close must be called to end its store.
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

// Close cancels background refreshes and ends the store. No Do may be running.
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

// Size returns the bytes and the number of all entries.
func (c *Cache) Size() (bytes int64, entries int) { return c.store.Size() }

// Do answers a request, from an entry or by a fill. The error is ErrOnlyIfCached, the fill's, or the cause of ctx.
func (c *Cache) Do(ctx context.Context, q Lookup, by Requester) (*Answer, error) {
	control := parseDirectives(q.Request["Cache-Control"])
	if !q.Rule.Stores() && !q.Shares || control.has("no-store") || isConditional(q.Request) {
		if control.has("only-if-cached") {
			return nil, ErrOnlyIfCached
		}
		return c.passThrough(ctx, by, fwdBypass)
	}
	key, entry := c.find(q)
	now := time.Now()
	if entry != nil && entry.satisfies(q.Rule, control, now) {
		if entry.ttl(q.Rule, now) <= 0 {
			return entry.answer(Stale, q.Rule, now), nil
		}
		return entry.answer(Hit, q.Rule, now), nil
	}
	if control.has("only-if-cached") {
		return nil, ErrOnlyIfCached
	}
	if detail := c.staleDetail(ctx, lookup{q, key, entry, by, ""}, control, now); detail != "" {
		return entry.staleAnswer(q.Rule, now, detail), nil
	}
	var a *Answer
	var err error
	switch request := (lookup{q, key, entry, by, ""}); {
	case q.Head:
		a, err = c.passThrough(ctx, by, fwdMiss)
	case control.has("no-cache"):
		a, err = c.fetchAlone(ctx, request, fwdRequest) // a fill that runs may have begun before the state that the tool wants
	default:
		a, err = c.share(ctx, request)
	}
	if detail := c.failureDetail(ctx, a, err); detail != "" {
		_, entry := c.find(q) // a write may have invalidated it meanwhile
		if now := time.Now(); entry != nil && entry.isServableStale(q.Rule, control, now) {
			a.close()
			return entry.staleAnswer(q.Rule, now, detail), nil
		}
	}
	switch {
	case a == nil:
	case !q.Rule.Stores():
		a.bypass()
	case entry != nil && a.fwd == fwdMiss:
		a.fwd = fwdStale
	}
	return a, err
}

// OnlyIfCached reports whether a request accepts only a stored answer.
func OnlyIfCached(request http.Header) bool {
	return parseDirectives(request["Cache-Control"]).has("only-if-cached")
}

// lookup is a Lookup with the entry that was found for it.
type lookup struct {
	Lookup
	key       Key // of the variant that the request gets (vary.go)
	entry     *Entry
	requester Requester

	generation string // of the route in the shared tier, read before the fetch
}

// isConditional reports whether a request asks for a part of the answer, or depends on a state that only Roam knows (RFC 9111,
// section 4.3.2).
func isConditional(h http.Header) bool {
	return h["Range"] != nil || h["If-Match"] != nil || h["If-Unmodified-Since"] != nil
}

// failureDetail returns why an old entry may replace this answer, or "".
func (c *Cache) failureDetail(ctx context.Context, a *Answer, err error) Detail {
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

// passThrough sends the request to Roam and stores nothing.
func (c *Cache) passThrough(ctx context.Context, by Requester, fwd forward) (*Answer, error) {
	res, err := by.NewFill().Fetch(ctx, Call{PassThrough: true})
	if err != nil {
		return nil, err
	}
	result := Bypass
	if fwd != fwdBypass {
		result = Miss
	}
	return &Answer{Status: res.StatusCode, Header: endToEnd(res.Header), Stream: res.Body, Length: res.ContentLength, Age: ageOf(res.Header),
		Result: result, fwd: fwd}, nil
}
