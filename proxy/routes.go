package proxy

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// Rule says how the answers of some requests are cached. A nil field leaves that key to the built-in rule of the route.
type Rule struct {
	Match        string         // "METHOD path" as path.Match has it; the first rule that matches counts
	TTL          *time.Duration // 0: never cached
	Origin       bool           // Roam's own headers decide (RFC 9111), in place of TTL
	Stale        *time.Duration // how long after TTL it may be served, while Roam throttles or fails, or a refresh is in progress
	WithWebhooks time.Duration  // replaces TTL while Roam's webhooks arrive; 0: TTL
	KeyBody      *bool          // the route is a POST that reads: its body is part of the key
	PageSize     *int           // items of a list that one call asks for; 0: as many as the tool asks for
}

// Route says how the calls of some requests are treated. A nil field leaves that key to the next route that matches. The built-in
// routes come last.
type Route struct {
	Match     string         // "METHOD path" as path.Match has it; METHOD may be *
	Timeout   *time.Duration // idle timeout of the call
	MaxWait   *time.Duration // longest wait in the queue
	Urgency   *int           // 0 to 7 (RFC 9218), if the tool sends no Priority
	Supersede *string        // field of the subject: only the newest queued write about one subject is sent; "": off
}

// Treatment is what rules and routes say about one request.
type Treatment struct {
	cache.Rule
	KeyBody   bool
	PageSize  int
	Timeout   time.Duration // 0: the upstream's
	MaxWait   time.Duration // 0: the quota's
	Urgency   int           // Undecided: the usual one
	Supersede string
	CachedBy  string // Match of the rule in force; "": none

	withWebhooks time.Duration // replaces TTL while webhooks arrive
	ownTTL       bool          // a configured rule sets TTL, so it applies to expand=status too
}

// Undecided is the urgency of a Treatment that no route decides.
const Undecided = -1

// Tables holds the rules, routes and drops of the configuration. The built-in ones come after them.
type Tables struct {
	Rules  []Rule
	Routes []Route
	Drops  []Drop
}

// check returns an error that names a malformed pattern.
func (t Tables) check() error {
	var patterns []string
	for _, r := range t.Rules {
		patterns = append(patterns, r.Match)
	}
	for _, r := range t.Routes {
		patterns = append(patterns, r.Match)
	}
	for _, d := range t.Drops {
		patterns = append(patterns, d.After)
		for _, route := range d.Routes {
			patterns = append(patterns, "GET "+route)
		}
	}
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil || !strings.Contains(pattern, " /") {
			return fmt.Errorf("proxy: %q is not METHOD path", pattern)
		}
	}
	return nil
}

// routes decides how each request is treated, and what each write invalidates.
type routes struct {
	Tables
	memo     *memo
	webhooks func() bool // reports whether Roam's webhooks arrive; nil: they do not
}

func newRoutes(t Tables) (routes, error) {
	if err := t.check(); err != nil {
		return routes{}, err
	}
	t.Routes = append(t.Routes[:len(t.Routes):len(t.Routes)], builtinRoutes()...)
	return routes{Tables: t, memo: newMemo()}, nil
}

// treatment returns how a request to this route is treated. A HEAD is treated as its GET.
func (r routes) treatment(method, route, rawQuery string) Treatment {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	treated := r.memo.get(method, route, r.decide)
	if treated.withWebhooks > 0 && r.webhooks != nil && r.webhooks() {
		treated.TTL = max(treated.TTL, treated.withWebhooks)
	}
	if !treated.ownTTL && treated.Stores() && hasExpandStatus(rawQuery) {
		treated.Rule = cache.Rule{} // presence changes by the minute
	}
	return treated
}

// decide combines the tables: the first configured rule that matches changes the built-in one, and the routes decide key by key.
func (r routes) decide(method, route string) Treatment {
	subject := method + " " + route
	treated := Treatment{Urgency: Undecided}
	for _, rule := range builtinRules() {
		if ok, _ := path.Match(rule.match, subject); ok {
			treated.Rule, treated.CachedBy = rule.Rule, rule.match
			break
		}
	}
	for _, rule := range r.Rules {
		if ok, _ := path.Match(rule.Match, subject); ok {
			rule.apply(&treated)
			treated.CachedBy = rule.Match
			break
		}
	}
	if method != http.MethodGet && !treated.KeyBody {
		treated.Rule = cache.Rule{} // it may be a write
	}
	for i := len(r.Routes) - 1; i >= 0; i-- { // the first route that sets a key wins, so it is applied last
		if ok, _ := path.Match(r.Routes[i].Match, subject); ok {
			r.Routes[i].apply(&treated)
		} else if rest, any := strings.CutPrefix(r.Routes[i].Match, "* "); any {
			if ok, _ := path.Match(rest, route); ok {
				r.Routes[i].apply(&treated)
			}
		}
	}
	return treated
}

// apply changes the keys that the rule names. Where Roam decides, an expired answer is not served unless stale is configured
// (RFC 9111, section 4.2.4).
func (r Rule) apply(t *Treatment) {
	if r.Origin {
		t.Rule, t.ownTTL = cache.Rule{Origin: true}, true
	} else if r.TTL != nil {
		t.TTL, t.Origin, t.ownTTL = *r.TTL, false, true
	}
	if r.Stale != nil {
		t.Stale = *r.Stale
	}
	t.withWebhooks = r.WithWebhooks
	if r.KeyBody != nil {
		t.KeyBody = *r.KeyBody
	}
	if r.PageSize != nil {
		t.PageSize = *r.PageSize
	}
}

func (r Route) apply(t *Treatment) {
	if r.Timeout != nil {
		t.Timeout = *r.Timeout
	}
	if r.MaxWait != nil {
		t.MaxWait = *r.MaxWait
	}
	if r.Urgency != nil {
		t.Urgency = *r.Urgency
	}
	if r.Supersede != nil {
		t.Supersede = *r.Supersede
	}
}

// hasExpandStatus reports whether the query asks for presence, which changes by the minute.
func hasExpandStatus(rawQuery string) bool {
	for p := range cache.Parameters(rawQuery) {
		if p.Name != "expand" {
			continue
		}
		for field := range strings.SplitSeq(p.Value, ",") {
			if strings.TrimSpace(field) == "status" {
				return true
			}
		}
	}
	return false
}

// routeOf returns the route of a path: the path without needless escapes, and with :id for the id in a SCIM path.
func routeOf(escaped string) string {
	escaped = unescaped(escaped)
	if rest, ok := strings.CutPrefix(escaped, "/scim/v2/"); ok {
		if noun, id, ok := strings.Cut(rest, "/"); ok && id != "" {
			return "/scim/v2/" + noun + "/:id"
		}
	}
	return escaped
}

// unescaped decodes the unreserved characters of a path (RFC 3986, section 6.2.2.2), so that /v1/%67roup.rename is recognised as a
// write.
func unescaped(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			letter, err := hex.DecodeString(path[i+1 : i+3])
			if err == nil && strings.IndexByte(unreserved, letter[0]) >= 0 {
				out = append(out, letter[0])
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// recognize finds out what the request is to Roam, and how long it may wait.
func (p *Proxy) recognize(rq *request) {
	rq.Route = routeOf(target(rq.r))
	rq.treatment = p.routes.treatment(rq.r.Method, rq.Route, rq.r.URL.RawQuery)
	most := rq.upstream.quota.MaxWait
	if rq.treatment.MaxWait > 0 {
		most = rq.treatment.MaxWait
	}
	if own := rq.tool.MaxWait; own > 0 {
		most = min(most, own)
	}
	urgency := limiter.Usual
	if rq.treatment.Urgency != Undecided {
		urgency = rq.treatment.Urgency
	}
	rq.preferences = parsePreferences(rq.own.priority, rq.own.prefer, urgency, most)
	if rq.preferences.applied != "" {
		rq.w.Header().Set("Preference-Applied", rq.preferences.applied)
	}
}

// memo remembers the treatment of each method and route, because asking all tables costs some 3 µs, a tenth of a cache hit.
type memo struct {
	mu    sync.RWMutex // guards known
	known map[subject]Treatment
}

type subject struct{ method, route string }

// The memo is bounded, and starts anew when it is full: Roam has about 150 routes, and any tool may ask for others.
const (
	maxKnown = 1000
	maxRoute = 200
)

func newMemo() *memo { return &memo{known: make(map[subject]Treatment)} }

func (m *memo) get(method, route string, decide func(method, route string) Treatment) Treatment {
	m.mu.RLock()
	treated, ok := m.known[subject{method, route}]
	m.mu.RUnlock()
	if ok {
		return treated
	}
	treated = decide(method, route)
	if len(route) > maxRoute || len(method) > maxRoute {
		return treated
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxKnown {
		clear(m.known)
	}
	m.known[subject{strings.Clone(method), strings.Clone(route)}] = treated // a clone, or the whole request would stay in memory
	return treated
}
