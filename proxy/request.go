package proxy

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/proxy/repeat"
)

// Visit is one request of a tool, from its arrival to the end of its answer.
type Visit struct {
	ID                  string // the tool's X-Request-Id, or ours; the answer has it too
	RoamID              string // X-Request-Id of Roam's answer, where it has one: what to tell Roam's support
	Tool, Method, Route string
	Quota               string
	Status              int    // 499: the tool went away before an answer began
	Cache               string // hit, miss, shared, stale or bypass
	Paged               bool   // the answer was cut out of a wide page that was there: a call that only the page saved
	Code                string // of an answer of our own; empty when it is Roam's
	Queue, Upstream     time.Duration
	Attempts            int // how often the call of this visit was sent; 0: never, or another visit's answer was shared
	Total               time.Duration
	TraceID             string // of traceparent
	Peer                string // address that the request came from; of a Unix socket "@" or ""
	Agent               string // product of the User-Agent, without its version
	Decisions           Decisions
	Repeat              string // of a write that was not sent again: unknown or replayed
	Err                 error  // for the log: what went wrong on the way to Roam
}

// Decisions are what roamproxy decided about a request before it went on, for a reader who wonders why.
type Decisions struct {
	Rule        string        // the rule that matched the route; "": none
	CacheStatus string        // as answered (RFC 9211)
	Urgency     int           // in the tool's own queue: 0 to 7
	LongestWait time.Duration // that the call was ready to wait
}

// visit is what the steps know of a request under way. It belongs to the goroutine that serves the request.
type visit struct {
	Visit
	w         http.ResponseWriter
	r         *http.Request
	own       http.Header // what the tool says to roamproxy; r.Header is what Roam may see
	refusal   error       // of the guard
	arrived   time.Time
	tool      *tool // nil until it is known who asks
	connected bool  // its connection is counted
	lane      *lane
	rule      Treatment
	wants     wants
	journey   *journey          // of a stream
	body      *limiter.HeldBody // of a write; nil: it has none, or it is no write
	write     *repeat.Pending   // nil: a repeat of it may be sent
	fields    [6]string
	said      int // how many of them are taken
}

// journey is one call on its way to Roam. It belongs to the fill or to the stream that makes it, which may outlive a visit.
type journey struct {
	limiter.Trip
	route    string
	away     atomic.Bool   // it is with Roam, and not in the line
	upstream time.Duration // from sending to the header of the answer, over all attempts
	perDay   int           // how many calls the tool may make in a day; 0: any number
	reserved bool          // one of them is kept for this call
}

type visitKey struct{}
type journeyKey struct{}

// asker is the visit as the cache and its Line know it.
func (v *visit) asker() context.Context { return context.WithValue(v.r.Context(), visitKey{}, v) }

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// learn takes over what became of the visit's call.
func (v *visit) learn(j *journey) {
	v.Queue, v.Upstream, v.Attempts = j.Waited, j.upstream, j.Attempts
}

// caller is how the visit stands in the line.
func (v *visit) caller() limiter.Caller {
	return limiter.Caller{Tool: v.tool.line, Urgency: v.wants.urgency, Longest: v.wants.longest}
}

// patience is how long the visit would wait for a turn.
func (v *visit) patience() time.Duration {
	if v.wants.longest < 0 {
		return v.lane.quota.MaxWait
	}
	return v.wants.longest
}

func travelling(ctx context.Context) *journey {
	j, _ := ctx.Value(journeyKey{}).(*journey)
	return j
}

// depart begins a journey on ctx.
func (v *visit) depart(ctx context.Context) (*journey, context.Context) {
	j := &journey{route: v.Route, perDay: v.tool.CallsPerDay}
	j.Caller = v.caller()
	return j, limiter.WithTrip(context.WithValue(ctx, journeyKey{}, j), &j.Trip)
}

// arrive begins a visit.
func (p *Proxy) arrive(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{w: w, r: r, arrived: time.Now(), lane: p.usual}
	v.refusal = p.guard.admit(w, r) // reads Upgrade, and Origin even where Connection names it
	v.own = takeOwn(r.Header)
	v.Method, v.Cache, v.Tool, v.Route = r.Method, cache.Bypass, "other", "other"
	v.Peer, v.Agent = r.RemoteAddr, product(r.UserAgent())
	v.ID, v.TraceID = requestID(r.Header[idHeader]), traceID(r.Header.Get("Traceparent"))
	return v
}

// leave ends a visit and reports it, even when the answer broke off.
func (p *Proxy) leave(v *visit) {
	if v.tool != nil {
		v.tool.here.Add(-1)
	}
	if v.connected {
		p.o.Connections.Release(v.Tool, 1)
	}
	v.Total = time.Since(v.arrived)
	v.Decisions = Decisions{v.rule.CachedBy, v.w.Header().Get("Cache-Status"), v.wants.urgency, v.patience()}
	p.o.Observer.Left(v.Visit)
}

const idHeader = "X-Request-Id"

// maxID is far above any identifier in use (a UUID has 36 bytes), and bounds what a tool can put into log and memory.
const maxID = 128

// requestID is the one that the tool gave, if it is one word of harmless letters, or else a new one.
func requestID(given []string) string {
	if len(given) == 1 && given[0] != "" && len(given[0]) <= maxID && strings.Trim(given[0], idLetters) == "" {
		return given[0]
	}
	return newID()
}

// newID is one that nobody else has, in the form of crypto/rand.Text. It is no secret, so it need not cost that one's 0.5 µs.
func newID() string {
	var id [26]byte
	var bits uint64
	for i := range id {
		if i%12 == 0 {
			bits = rand.Uint64()
		}
		id[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[bits%32]
		bits /= 32
	}
	return string(id[:])
}

const idLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:/+=@"

// product returns the first product of a User-Agent (RFC 9110, section 10.1.5): python-requests of python-requests/2.32.
func product(agent string) string {
	if i := strings.IndexAny(agent, "/ ("); i >= 0 {
		return agent[:i]
	}
	return agent
}

// traceID is the second part of a traceparent (W3C Trace Context, section 3.2).
func traceID(traceparent string) string {
	if traceparent == "" {
		return ""
	}
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[1]
}
