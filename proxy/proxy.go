// Package proxy handles the requests of tools.
//
//	tool
//	  │  arrive        the request begins; leave reports it when it ends
//	  │  refuse        web pages, CONNECT, ambiguous targets; an HTTP/1.0 connection closes after its response
//	  │  identify      which tool sends it, and may the tool use this method and path?
//	  │  recognize     which method of Roam is it, how long is it cached, how long may it wait?
//	  │  readMessages  of an agent (POST /mcp): which JSON-RPC methods and tools, and are they allowed?
//	  ├─ a cacheable read ──► cached: cache.Do returns a fresh answer, or one fill answers all equal requests
//	  │  supersede     is it a status update, of which only the newest is sent?
//	  │  handleRepeat  does it repeat a write of unknown outcome, or an Idempotency-Key that was answered?
//	  └─ anything else ─────► passThrough: httputil.ReverseProxy, unchanged
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
	"roamproxy/limiter/transport"
	"roamproxy/proxy/budget"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/paging"
	"roamproxy/proxy/repeat"
)

// Options configures a Proxy. It must not be changed after New.
type Options struct {
	Upstream    *url.URL          // scheme and host alone
	Timeout     time.Duration     // idle timeout of a call to Roam
	Base        http.RoundTripper // the network; NewTransport makes the usual one
	Credentials []Credential      // at least one; the first is for tools that name none
	Quotas      []Quota
	Bodies      *transport.Bodies // held by waiting calls, shared by all quotas
	Tools       []Tool            // none: every local caller may call, under the name that it gives itself
	Budgets     *budget.Counts    // calls of today; needed if a tool has CallsPerDay
	Writes      *repeat.Memory    // writes of unknown outcome, and answers to Idempotency-Keys
	Streams     *eventstream.Streams
	KeepAlive   time.Duration // longest silence of an event stream to a tool; 0: eventstream.KeepAlive
	Browsers    []string      // origins of web pages that may call
	Reach       Reach         // of the listener
	Cache       *cache.Cache
	Tables      Tables            // rules, routes and drops of the configuration
	Webhooks    func() bool       // reports whether Roam's webhooks arrive at present; nil: they do not
	MaxCalls    int               // requests of one tool in progress at once; 0: any number
	Connections *transport.Shares // shares the connections between tools; nil: any number
	MaxBody     int64             // of a request, in bytes; a larger one is answered 413
	Observer    Observer
}

// Credential is a secret for Roam, and the quota that its calls spend.
type Credential struct {
	Name   string
	Source credential.Source
	Quota  string // name of an element of Options.Quotas
}

// Quota is a queue, and how its quota is shown to tools.
type Quota struct {
	Name        string
	Queue       *limiter.Queue
	Open        *transport.OpenResponses // nil: any number
	Rate, Burst float64
	MaxWait     time.Duration
}

// Observer receives every request of a tool, and every call that was sent to Roam. Its methods are called by many goroutines.
type Observer interface {
	// NewTool reports a name that a caller gave itself, before its first request under that name is served.
	NewTool(name string)
	// Answered reports how a request ended.
	Answered(Report)
	// Sent reports a call, and the time until its response header; status 0: none came.
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

// New returns a Proxy. An error names the option that is missing or does not fit.
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

// Problems returns, by name of the credential, what an operator must fix. A nil error means that the credential is well.
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
