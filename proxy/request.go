package proxy

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/proxy/repeat"
	"roamproxy/proxy/rpc"
)

// Report describes a request that has ended, for metrics and log.
type Report struct {
	ID                  string // the tool's X-Request-Id, or ours; the answer has it too
	RoamID              string // X-Request-Id of Roam's answer, where it has one: what to tell Roam's support
	Tool, Method, Route string
	Quota               string
	Status              int // 499: the tool went away before an answer began
	Cache               cache.Result
	Paged               bool   // the answer was cut out of a wide page that was there: a call that only the page saved
	Code                string // of an answer of our own; empty when it is Roam's
	Queue, Upstream     time.Duration
	Attempts            int // how often the call of this request was sent; 0: never, or another request's answer was shared
	Total               time.Duration
	TraceID             string // of traceparent
	Peer                string // address that the request came from; of a Unix socket "@" or ""
	Agent               string // product of the User-Agent, without its version
	Decisions           Decisions
	Superseded          bool   // a newer write about the same subject was sent in its place
	Repeat              string // of a write that was not sent again: unknown or replayed
	Err                 error  // for the log: what went wrong on the way to Roam
}

// Decisions are what roamproxy decided about a request before it went on, for an operator who asks why.
type Decisions struct {
	Rule        string        // the rule that matched the route; "": none
	CacheStatus string        // as answered (RFC 9211)
	Urgency     int           // in the tool's own queue: 0 to 7
	LongestWait time.Duration // that the call was ready to wait
}

// request is one HTTP request of a tool, from its arrival to the end of its answer. It is passed from step to step and belongs to the
// goroutine that serves the request.
type request struct {
	Report
	w             http.ResponseWriter
	r             *http.Request
	own           ownFields // what the tool says to roamproxy; r.Header is what Roam may see
	refusal       error     // of the guard
	arrived       time.Time
	tool          *tool // nil until it is identified
	hasConnection bool  // its connection is counted
	upstream      *upstream
	treatment     Treatment
	preferences   preferences
	body          *limiter.HeldBody // of a write; nil: it has none, or it is no write
	messages      *rpc.Body         // that were posted to /mcp; nil: none that can be read
	label         string            // of these messages, in the place of Route wherever it is shown; "": there are none
	list          *listKey          // that it asks for, and that may be kept; nil: none
	listChanges   int               // of all lists, before it was asked for
	subscribes    bool              // it asks for an event stream without end
	write         *repeat.Pending   // nil: a repeat of it may be sent
	chat          string            // that a write names; "": none
	call          *upstreamCall     // that was made for this request alone; nil: none
}

// arrive begins a request.
func (p *Proxy) arrive(w http.ResponseWriter, r *http.Request) *request {
	rq := &request{w: w, r: r, arrived: time.Now(), upstream: p.defaultUpstream}
	rq.refusal = p.guard.inspect(w, r) // reads Upgrade, and Origin even where Connection names it
	rq.own = takeOwnFields(r.Header)
	rq.Method, rq.Cache, rq.Tool, rq.Route = r.Method, cache.Bypass, "other", "other"
	rq.Peer, rq.Agent = r.RemoteAddr, product(r.UserAgent())
	rq.ID, rq.TraceID = requestID(r.Header[idHeader]), traceID(r.Header.Get("Traceparent"))
	return rq
}

// caller is how a call of this request is queued.
func (rq *request) caller() limiter.Caller {
	return limiter.Caller{Tool: rq.tool.limiterTool, Urgency: rq.preferences.urgency, MaxWait: rq.preferences.maxWait,
		Longest: rq.preferences.askedWait}
}

// rateLimited is an ordinary call of the request's tool, or of a tool that is not known.
func (rq *request) rateLimited() limiter.Caller {
	c := limiter.Caller{Urgency: limiter.Usual, Longest: -1}
	if rq.tool != nil {
		c.Tool = rq.tool.limiterTool
	}
	return c
}

// maxWait is how long a call of this request may have to wait to be admitted.
func (rq *request) maxWait() time.Duration {
	if rq.preferences.askedWait < 0 {
		return cmp.Or(rq.preferences.maxWait, rq.upstream.quota.MaxWait)
	}
	return rq.preferences.askedWait
}

// maxQueueTime is how long a call of this request can be queued: where favoured calls come later, an admitted one waits up to twice as long.
func (rq *request) maxQueueTime() time.Duration {
	if rq.preferences.askedWait < 0 {
		return 2 * rq.maxWait()
	}
	return rq.preferences.askedWait
}

// recordCall takes over what became of the request's call.
func (rq *request) recordCall(c *upstreamCall) {
	rq.Queue, rq.Upstream, rq.Attempts = c.Waited, c.took, c.Attempts
}

// leave ends a request and reports it, even when the answer broke off.
func (p *Proxy) leave(rq *request) {
	rq.closeWrite()
	if rq.tool != nil {
		rq.tool.inProgress.Add(-1)
	}
	if rq.hasConnection {
		p.o.Connections.Release(rq.tool.limiterTool.FlowName(), 1)
	}
	rq.Total = time.Since(rq.arrived)
	rq.Route = cmp.Or(rq.label, rq.Route)
	rq.Decisions.Rule, rq.Decisions.Urgency, rq.Decisions.LongestWait = rq.treatment.CachedBy, rq.preferences.urgency, rq.maxWait()
	p.o.Observer.Answered(rq.Report)
}

const idHeader = "X-Request-Id"

// maxID is far above any identifier in use (a UUID has 36 bytes), and bounds what a tool can put into log and memory.
const maxID = 128

// requestID is the one that the tool gave, if it is one word of harmless letters, or else a new one.
func requestID(given []string) string {
	if len(given) == 1 && given[0] != "" && len(given[0]) <= maxID && strings.Trim(given[0], idLetters) == "" {
		return given[0]
	}
	return rand.Text()
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
