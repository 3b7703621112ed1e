// Package proxy is what happens to a tool's request.
//
//	tool
//	  │  arrive      a request begins; whatever comes of it is reported when it leaves
//	  │  refuse      a local program, not a web page; no CONNECT; HTTP/1.0 responses close
//	  │  identify    which tool: token → tool; is this method and path allowed?
//	  │  recognize   which Roam method, is it a read, how long cached, how long may it wait?
//	  │  messages    of an agent (POST /mcp): which JSON-RPC methods and tools, and are they allowed?
//	  ├─ a cacheable read ──► cached: cache.Do, a fresh answer, or one fill shared by all who ask the same
//	  │  supersede   is it a queued pulse, of which only the newest is sent?
//	  │  repeated    does it repeat a write of unknown outcome, or an Idempotency-Key that was answered?
//	  └─ anything else ─────► passThrough: httputil.ReverseProxy, as it comes
//	  ▼  both reach Roam only through upstream.chain, one chain of http.RoundTrippers (upstream.go)
package proxy

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"slices"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/proxy/budget"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/paging"
	"roamproxy/proxy/repeat"
)

// Options says what a Proxy stands in front of and for whom. It must not be changed after New.
type Options struct {
	Upstream    *url.URL          // scheme and host alone
	Timeout     time.Duration     // of Roam's silence
	Base        http.RoundTripper // the network; NewTransport makes the usual one
	Credentials []Credential      // at least one; the first is for tools that name none
	Quotas      []Quota
	Bodies      *limiter.Bodies // held by waiting calls, shared by all quotas
	Tools       []Tool          // none: every local caller, under the name that it gives itself
	Budgets     *budget.Counts  // what tools with CallsPerDay made today; needed when there are any
	Writes      *repeat.Memory  // what is remembered of writes
	Streams     *eventstream.Streams
	KeepAlive   time.Duration // longest silence of an event stream to a tool; 0: eventstream.KeepAlive
	Browsers    []string      // origins of pages that may call
	Reach       Reach         // who can connect, and under which names
	Cache       *cache.Cache
	Tables      Tables          // of the configuration
	Webhooks    func() bool     // whether Roam's webhooks are known to arrive now; nil: they are not
	MaxCalls    int             // of one tool under way at once; 0: any number
	Connections *limiter.Shares // of tools' requests under way, each of which has a connection; nil: any number
	MaxBody     int64           // of a request; 413 beyond
	Observer    Observer
}

// Credential is what calls are made with.
type Credential struct {
	Name   string
	Source credential.Source
	Quota  string // by name
}

// Quota is a queue, and how its quota is shown to tools.
type Quota struct {
	Name        string
	Queue       *limiter.Queue
	Open        *limiter.OpenResponses // nil: any number
	Rate, Burst float64
	MaxWait     time.Duration
}

// Observer is told of every request and of every call that was really sent to Roam. It may be called by many goroutines.
type Observer interface {
	// NewTool tells of a name that a caller gave itself, before it is first served under it.
	NewTool(name string)
	// Answered tells how a request ended.
	Answered(Report)
	// Sent tells of a call and how long its response header took; status 0: none came.
	Sent(quota, route string, status int, d time.Duration)
}

// Proxy answers tools. It may be used by many goroutines.
type Proxy struct {
	o               Options
	guard           guard
	tools           *tools
	routes          routes
	pages           paging.Pages
	upstreams       map[string]*upstream // by credential
	defaultUpstream *upstream
	buffers         buffers
	pulses          pulses
	mcpRoutes       mcpRoutes
	lists           mcpLists
	hints           toolHints
	discardLog      *log.Logger
}

// New puts a proxy together. An error names what does not fit.
func New(o Options) (*Proxy, error) {
	if o.Upstream == nil || o.Observer == nil || o.Cache == nil || o.Base == nil || o.Writes == nil || o.Streams == nil {
		return nil, errors.New("proxy: Upstream, Base, Cache, Writes, Streams and Observer are needed")
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = eventstream.KeepAlive
	}
	p := &Proxy{o: o, guard: guard{browsers: o.Browsers, reach: o.Reach}, upstreams: make(map[string]*upstream), discardLog: newDiscardLog()}
	for _, c := range o.Credentials {
		l, err := newUpstream(o, c)
		if err != nil {
			return nil, err
		}
		p.upstreams[c.Name] = l
		if p.defaultUpstream == nil {
			p.defaultUpstream = l
		}
	}
	if p.defaultUpstream == nil {
		return nil, errors.New("proxy: at least one credential is needed")
	}
	if o.Budgets == nil && slices.ContainsFunc(o.Tools, func(t Tool) bool { return t.CallsPerDay > 0 }) {
		return nil, errors.New("proxy: Budgets are needed to count calls of a day")
	}
	var err error
	if p.tools, err = newTools(o.Tools, p.upstreams, o.Observer.NewTool); err != nil {
		return nil, err
	}
	if p.routes, err = newRoutes(o.Tables); err != nil {
		return nil, err
	}
	p.routes.webhooks = o.Webhooks
	return p, nil
}

// ServeHTTP answers one request of a tool, step by step.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rq := p.arrive(w, r)
	defer p.leave(rq)
	if p.refuse(rq) || !p.identify(rq) {
		return
	}
	p.recognize(rq)
	switch {
	case r.ContentLength > p.o.MaxBody:
		p.fail(rq, &http.MaxBytesError{Limit: p.o.MaxBody})
	case rq.isMCP() && (p.readMessages(rq) || p.answerList(rq)): // and is answered
	case (rq.treatment.Stores() || rq.isShareable()) && !eventstream.IsWanted(r.Header): // the cache would wait for the end of a stream
		p.cached(rq)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && cache.OnlyIfCached(r.Header):
		p.fail(rq, cache.ErrOnlyIfCached)
	case p.supersede(rq), p.isWrite(rq) && p.handleRepeat(rq): // and is answered
	default:
		p.passThrough(rq)
	}
}

// Problems tells, by credential, what an operator must repair; nil: all is well.
func (p *Proxy) Problems() map[string]error {
	problems := make(map[string]error)
	for name, l := range p.upstreams {
		problems[name] = l.credential.Problem()
	}
	return problems
}

func findQuota(o Options, name string) (Quota, error) {
	for _, q := range o.Quotas {
		if q.Name == name {
			return q, nil
		}
	}
	return Quota{}, fmt.Errorf("proxy: there is no quota %q", name)
}
