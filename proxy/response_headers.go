package proxy

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// mark adds the fields that every response has. X-Request-Id is that of this request: Roam's would belong to another request if the answer
// was cached.
func (p *Proxy) mark(h http.Header, rq *request, cacheStatus string) {
	if rq.Attempts > 0 && rq.Cache != cache.Stale {
		rq.RoamID = h.Get(idHeader)
	}
	rq.Decisions.CacheStatus = cacheStatus
	policy, limit := rq.upstream.rateLimit.fields(rq.rateLimited())
	own := &[3]string{rq.ID, cacheStatus, serverTiming(rq.Queue, rq.Upstream)} // one allocation for all
	h[idHeader] = own[0:1:1]
	addField(h, "Cache-Status", own[1:2:2])
	addField(h, "Server-Timing", own[2:3:3])
	addField(h, "Ratelimit-Policy", policy)
	addField(h, "Ratelimit", limit)
}

// serverTiming returns the value of Server-Timing (W3C Server Timing). Most answers come from the cache and took neither time.
func serverTiming(queue, upstream time.Duration) string {
	if queue < time.Millisecond && upstream < time.Millisecond {
		return "queue;dur=0, upstream;dur=0"
	}
	return fmt.Sprintf("queue;dur=%d, upstream;dur=%d", queue.Milliseconds(), upstream.Milliseconds())
}

// addField adds values to a field, whose name is in canonical form. Other headers may have the same values: their slice must be full,
// or longer than it is.
func addField(h http.Header, name string, values []string) {
	if before := h[name]; before != nil {
		values = append(before[:len(before):len(before)], values...)
	}
	h[name] = values[:len(values):len(values)]
}

// merge adds the fields of one header to another.
func merge(to, from http.Header) {
	for name, values := range from {
		addField(to, name, values)
	}
}

// clean makes Roam's header fields fit for the tool.
func (p *Proxy) clean(h http.Header, rq *request) {
	for name, values := range h {
		switch {
		case !isForTool(name):
			delete(h, name)
		case name == "Location":
			h[name] = p.locations(values, rq)
		}
	}
}

// mergeClean adds to a response the fields of Roam's header for which fits returns true, after clean. It does not change from, which other
// requests may share.
func (p *Proxy) mergeClean(to, from http.Header, rq *request, fits func(name string) bool) {
	for name, values := range from {
		if !fits(name) {
			continue
		}
		if name == "Location" {
			values = p.locations(values, rq)
		}
		addField(to, name, values)
	}
}

// isForTool reports whether a tool gets a header field of Roam's. A cookie would belong to the session of the credential. Roam's
// Access-Control fields are about its own address, and would contradict those of roamproxy.
func isForTool(name string) bool {
	return name != "Set-Cookie" && !strings.HasPrefix(name, "Access-Control-")
}

// locations returns the values of Location for the tool. A redirect within Roam leads to the address that the tool called; any other is
// not changed.
func (p *Proxy) locations(values []string, rq *request) []string {
	values = slices.Clone(values)
	for i, location := range values {
		to, err := url.Parse(location)
		if err != nil || to.User != nil || to.Host == "" {
			continue
		}
		_, rest, _ := strings.Cut(location, "//")
		if to.Scheme == "" {
			to.Scheme = p.o.Upstream.Scheme // that of the address which redirects
		}
		if strings.EqualFold(to.Scheme, p.o.Upstream.Scheme) && hostPort(to) == hostPort(p.o.Upstream) {
			values[i] = "http://" + rq.r.Host + rest[len(to.Host):]
		}
	}
	return values
}

// hostPort returns the host of an origin in lower case, with the port that its scheme implies.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// forwarded returns the Cache-Status (RFC 9211) of an answer that did not come from the cache.
func (rq *request) forwarded() string {
	switch {
	case rq.Method != http.MethodGet && rq.Method != http.MethodHead:
		return "roamproxy; fwd=method"
	case rq.treatment.Stores():
		return "roamproxy; fwd=uri-miss"
	}
	return "roamproxy; fwd=bypass"
}

// rateLimit is the quota in header fields (IETF draft-ietf-httpapi-ratelimit-headers), for each tool: r calls of it would be sent
// immediately, and the next one after t seconds. A tenth of a second is short enough for figures in whole calls. It is long enough that a
// stream of hits does not ask the queue each time.
type rateLimit struct {
	quota  Quota
	policy []string // value of RateLimit-Policy

	mu    sync.Mutex // guards the following
	tools map[string]rateLimitField
}

// rateLimitField is the value of RateLimit for one tool, as it was at a time.
type rateLimitField struct {
	limit []string
	at    time.Time
}

const (
	rateLimitAge = 100 * time.Millisecond
	// rateLimitTools bounds the tools that are remembered: more than there are names.
	rateLimitTools = 1000
)

func newRateLimit(q Quota) *rateLimit {
	policy := fmt.Sprintf(`"%s";q=%.0f;w=%.0f`, q.Name, q.Burst, math.Ceil(q.Burst/q.Rate))
	return &rateLimit{quota: q, policy: []string{policy}, tools: make(map[string]rateLimitField)}
}

// fields returns the values of RateLimit-Policy and RateLimit. They must not be changed.
func (l *rateLimit) fields(caller limiter.Caller) (policy, limit []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	f, known := l.tools[caller.Tool.Name]
	if !known || now.Sub(f.at) >= rateLimitAge {
		calls, wait := l.quota.Queue.Forecast(caller)
		f = rateLimitField{at: now, limit: []string{fmt.Sprintf(`"%s";r=%d;t=%.0f`, l.quota.Name, calls, max(math.Ceil(wait.Seconds()), 1))}}
		if len(l.tools) >= rateLimitTools {
			clear(l.tools)
		}
		l.tools[caller.Tool.Name] = f
	}
	return l.policy, f.limit
}
