package proxy

import (
	"fmt"
	"maps"
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

// mark adds what every response says. The request's id is that of this request: one of Roam's would be of another request where the
// answer was kept.
func (p *Proxy) mark(h http.Header, rq *request, cacheStatus string) {
	if rq.Attempts > 0 && rq.Cache != cache.Stale {
		rq.RoamID = h.Get(idHeader)
	}
	policy, limit := rq.upstream.rateLimit.fields(rq.rateLimited())
	h.Set(idHeader, rq.ID)
	h.Add("Cache-Status", cacheStatus)
	h.Add("Server-Timing", fmt.Sprintf("queue;dur=%d, upstream;dur=%d", rq.Queue.Milliseconds(), rq.Upstream.Milliseconds()))
	h.Add("RateLimit-Policy", policy)
	h.Add("RateLimit", limit)
}

// merge adds the fields of one header to another.
func merge(to, from http.Header) {
	for name, values := range from {
		to[name] = append(to[name], values...)
	}
}

// cloneShared copies the header of an answer that others have too, so that fields can be removed and Location be changed.
func cloneShared(h http.Header) http.Header {
	own := maps.Clone(h)
	if own["Location"] != nil {
		own["Location"] = slices.Clone(own["Location"])
	}
	return own
}

// clean makes Roam's header fields fit for the tool. A cookie would be the credential's session, which is no tool's. Which web pages may
// read a response Roam says of its own address: next to what roamproxy says, a browser would follow neither. A redirect within Roam
// leads to the address that the tool called; any other is the tool's to follow or not.
func (p *Proxy) clean(h http.Header, rq *request) {
	delete(h, "Set-Cookie")
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	for i, location := range h["Location"] {
		to, err := url.Parse(location)
		if err != nil || to.User != nil || to.Host == "" {
			continue
		}
		_, rest, _ := strings.Cut(location, "//")
		if to.Scheme == "" {
			to.Scheme = p.o.Upstream.Scheme // that of the address which redirects
		}
		if strings.EqualFold(to.Scheme, p.o.Upstream.Scheme) && hostPort(to) == hostPort(p.o.Upstream) {
			h["Location"][i] = "http://" + rq.r.Host + rest[len(to.Host):]
		}
	}
}

// hostPort is an origin's host as it compares, with the port that its scheme implies.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// forwarded is the Cache-Status (RFC 9211) of an answer that the cache did not give: why it could not.
func (rq *request) forwarded() string {
	switch {
	case rq.Method != http.MethodGet && rq.Method != http.MethodHead:
		return "roamproxy; fwd=method"
	case rq.treatment.Keeps():
		return "roamproxy; fwd=uri-miss"
	}
	return "roamproxy; fwd=bypass"
}

// rateLimit is the quota in header fields (IETF draft-ietf-httpapi-ratelimit-headers), for each tool: r calls of it would go at once,
// and the next one after t seconds. A tenth of a second is short enough for figures in whole calls, and long enough that a stream of
// hits does not ask the queue each time.
type rateLimit struct {
	quota Quota

	mu    sync.Mutex // guards the following
	tools map[string]rateLimitFields
}

type rateLimitFields struct {
	policy, limit string
	at            time.Time
}

const (
	rateLimitAge = 100 * time.Millisecond
	// rateLimitTools bounds the tools that are remembered: more than there are names.
	rateLimitTools = 1000
)

func (t *rateLimit) fields(caller limiter.Caller) (policy, limit string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f, known := t.tools[caller.Tool.Name]
	if !known || now.Sub(f.at) >= rateLimitAge {
		calls, wait := t.quota.Queue.Forecast(caller)
		f = rateLimitFields{
			policy: fmt.Sprintf(`"%s";q=%.0f;w=%.0f`, t.quota.Name, t.quota.Burst, math.Ceil(t.quota.Burst/t.quota.Rate)),
			limit:  fmt.Sprintf(`"%s";r=%d;t=%.0f`, t.quota.Name, calls, max(math.Ceil(wait.Seconds()), 1)),
			at:     now,
		}
		if t.tools == nil || len(t.tools) >= rateLimitTools {
			t.tools = make(map[string]rateLimitFields)
		}
		t.tools[caller.Tool.Name] = f
	}
	return f.policy, f.limit
}
