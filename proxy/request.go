package proxy

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/limiter/transport"
	"roamproxy/proxy/repeat"
	"roamproxy/proxy/rpc"
)

// Report describes a request that has ended, for metrics and log.
type Report struct {
	ID                  string // X-Request-Id of the tool, or a new one; the response has it too
	RoamID              string // X-Request-Id of Roam's answer, for Roam's support; "": none
	Tool, Method, Route string
	Quota               string
	Status              int // 499: the tool left before an answer began
	Cache               cache.Result
	Paged               bool // the answer was cut out of a cached wide page, which saved a call
	Code                Code // where roamproxy itself answered; "": Roam did
	Queue, Upstream     time.Duration
	Attempts            int // how often the call was sent; 0: never, or the request got the answer of another one's call
	Total               time.Duration
	TraceID             string // of traceparent
	Peer                string // remote address; "@" or "" for a Unix socket
	Agent               string // product of the User-Agent, without its version
	Decisions           Decisions
	Superseded          bool       // a newer write about the same subject was sent in its place
	Repeat              RepeatKind // of a write that was not sent again; "": none
	Err                 error      // for the log: why the request failed
}

// Decisions are what roamproxy decided about a request, for an operator who asks why it was treated so.
type Decisions struct {
	Rule        string        // the rule that matched the route; "": none
	CacheStatus string        // as answered (RFC 9211)
	Urgency     int           // in the tool's own queue: 0 to 7
	LongestWait time.Duration // that the call was allowed to wait
}

// request is one HTTP request of a tool, from its arrival to the end of its answer. The steps of ServeHTTP hand it on; only the
// goroutine that serves the request uses it.
type request struct {
	Report
	w             http.ResponseWriter
	r             *http.Request
	own           ownFields // what the tool says to roamproxy; r.Header is what Roam may see
	refusal       error     // of the guard
	arrived       time.Time
	tool          *tool // nil before identify
	hasConnection bool  // its connection is counted
	upstream      *upstream
	treatment     Treatment
	preferences   preferences
	body          *transport.HeldBody // held body of a write; nil: none, or no write
	messages      *rpc.Body           // JSON-RPC messages posted to /mcp; nil: none, or unreadable
	label         string              // route of the messages, which metrics and log show instead of Route; "": none
	list          *listKey            // cacheable list that it asks for; nil: none
	listChanges   int                 // mcpLists.changes when it asked
	subscribes    bool                // it asks for an event stream without end
	write         *repeat.Pending     // nil: it is no remembered write
	chat          string              // chat that a write names; "": none
	call          *upstreamCall       // call of this request alone; nil: none
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

// caller returns how a call of this request is queued.
func (rq *request) caller() limiter.Caller {
	return limiter.Caller{Tool: rq.tool.limiterTool, Urgency: rq.preferences.urgency, MaxWait: rq.preferences.maxWait,
		Longest: rq.preferences.askedWait}
}

// rateLimited returns an ordinary call of the request's tool, for the RateLimit header. The tool may be unknown.
func (rq *request) rateLimited() limiter.Caller {
	c := limiter.Caller{Urgency: limiter.Usual, Longest: -1}
	if rq.tool != nil {
		c.Tool = rq.tool.limiterTool
	}
	return c
}

// maxWait returns the longest forecast with which a call of this request is admitted to the queue.
func (rq *request) maxWait() time.Duration {
	if rq.preferences.askedWait < 0 {
		return cmp.Or(rq.preferences.maxWait, rq.upstream.quota.MaxWait)
	}
	return rq.preferences.askedWait
}

// maxQueueTime returns how long a call of this request can be queued. Favoured calls that come later can double the forecast wait.
func (rq *request) maxQueueTime() time.Duration {
	if rq.preferences.askedWait < 0 {
		return 2 * rq.maxWait()
	}
	return rq.preferences.askedWait
}

// recordCall copies the times of a call into the report.
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

// maxID bounds an identifier, in bytes: it goes into log and memory. A UUID has 36.
const maxID = 128

// requestID returns the tool's identifier if it consists of idLetters, or else a new one.
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

// traceID returns the trace id of a traceparent (W3C Trace Context, section 3.2), or "".
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
