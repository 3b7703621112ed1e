// Package proxy is what happens to a tool's request.
//
//	tool
//	  │  arrive      a visit begins; whatever comes of it is reported when it leaves
//	  │  refuse      a local program, not a web page; no Upgrade, no CONNECT; HTTP/1.0 answers close
//	  │  identify    who asks: token → tool; may this tool use this method and path?
//	  │  recognize   which Roam method is this, is it a read, how long may its answer be kept?
//	  ├─ a read that may be kept ──► kept: cache.Do, a fresh answer at once, or one fill shared by all who ask the same
//	  └─ anything else ────────────► streamed: as it comes, unless it repeats a write that may have been executed (repeats.go)
//	  ▼  both reach Roam only through exchange, one chain of http.RoundTrippers
package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/proxy/credential"
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
	Budgets     *Budgets        // what tools with CallsPerDay made today; needed when there are any
	Writes      *repeat.Memory  // what is remembered of writes
	Browsers    []string        // origins of pages that may call
	Reach       Reach           // who can connect, and under which names
	Cache       *cache.Cache
	Tables      Tables          // of the configuration
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

// Quota is a line and how it is shown to tools.
type Quota struct {
	Name        string
	Queue       *limiter.Queue
	Open        *limiter.OpenResponses // nil: any number
	Rate, Burst float64
	MaxWait     time.Duration
}

// Observer hears of every visit and of every call that really went to Roam. It may be called by many goroutines.
type Observer interface {
	// Met tells of a name that a caller gave itself, before it is first served under it.
	Met(tool string)
	// Left tells how a visit ended.
	Left(Visit)
	// Sent tells of a call and how long the header of its answer took; status 0: none came.
	Sent(quota, route string, status int, d time.Duration)
}

// Proxy answers tools. It may be used by many goroutines.
type Proxy struct {
	o      Options
	guard  guard
	tools  *tools
	routes routes
	shapes shapes
	lanes  map[string]*lane // by credential
	usual  *lane
}

// New puts a proxy together. An error names what does not fit.
func New(o Options) (*Proxy, error) {
	if o.Upstream == nil || o.Observer == nil || o.Cache == nil || o.Base == nil || o.Writes == nil {
		return nil, errors.New("proxy: Upstream, Base, Cache, Writes and Observer are needed")
	}
	p := &Proxy{o: o, guard: guard{browsers: o.Browsers, reach: o.Reach}, lanes: make(map[string]*lane)}
	for _, c := range o.Credentials {
		l, err := newLane(o, c)
		if err != nil {
			return nil, err
		}
		p.lanes[c.Name] = l
		if p.usual == nil {
			p.usual = l
		}
	}
	if p.usual == nil {
		return nil, errors.New("proxy: at least one credential is needed")
	}
	if o.Budgets == nil && slices.ContainsFunc(o.Tools, func(t Tool) bool { return t.CallsPerDay > 0 }) {
		return nil, errors.New("proxy: Budgets are needed to count calls of a day")
	}
	var err error
	if p.tools, err = newTools(o.Tools, p.lanes, o.Observer.Met); err != nil {
		return nil, err
	}
	if p.routes, err = newRoutes(o.Tables); err != nil {
		return nil, err
	}
	return p, nil
}

// ServeHTTP answers one request of a tool. Each step is called, and none is wrapped around the next: a call that waits keeps the
// stack that it has, and this way most of them do with 4 KiB rather than 8.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := p.arrive(w, r)
	defer p.leave(v)
	if p.refuse(v) || !p.identify(v) {
		return
	}
	p.recognize(v)
	switch {
	case r.ContentLength > p.o.MaxBody:
		p.fail(v, &http.MaxBytesError{Limit: p.o.MaxBody})
	case v.rule.Keeps():
		p.kept(v)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && cache.OnlyIfCached(r.Header):
		p.fail(v, cache.ErrOnlyIfCached)
	default:
		p.streamed(v)
	}
}

// Problems tells, by credential, what an operator must mend. All is well where it is nil.
func (p *Proxy) Problems() map[string]error {
	problems := make(map[string]error)
	for name, l := range p.lanes {
		problems[name] = l.credential.Problem()
	}
	return problems
}

func quota(o Options, name string) (Quota, error) {
	for _, q := range o.Quotas {
		if q.Name == name {
			return q, nil
		}
	}
	return Quota{}, fmt.Errorf("proxy: there is no quota %q", name)
}
