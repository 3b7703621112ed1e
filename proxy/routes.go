package proxy

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"roamproxy/cache"
)

// Rule says how long the answers of some calls are kept.
type Rule struct {
	Match   string // "METHOD path" as path.Match has it
	KeyBody bool   // a POST that reads: its body joins the key
	// PageSize is how many items of a list Roam is asked for at a time; 0: as many as the tool asks for.
	PageSize int
	cache.Rule
}

// builtin is what is kept unless configured otherwise. The first match wins; what matches nothing is never kept. It names
// patterns and not methods, so that a method that Roam adds tomorrow is handled like its kin.
func builtin() []Rule {
	never := cache.Rule{}
	usual := cache.Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute}
	lively := cache.Rule{TTL: 5 * time.Second, Stale: time.Minute}
	signed := cache.Rule{TTL: 30 * time.Second} // the answer holds links that expire
	return []Rule{
		{Match: "GET /v*/token.info", Rule: never},
		{Match: "GET /v*/user.activity.list", Rule: never},
		{Match: "GET /v*/user.statusBubble.get", Rule: never},
		{Match: "GET /v*/webhook.*", Rule: never},
		{Match: "GET /v*/*.prompt", Rule: never},
		{Match: "GET /v*/meeting.search", Rule: never},
		{Match: "GET /v*/chat.history", Rule: lively},
		{Match: "GET /v*/chat.list", Rule: lively},
		{Match: "GET /v*/conversation.list", Rule: lively},
		{Match: "GET /v*/reaction.list", Rule: lively},
		{Match: "GET /v*/magicast.info", Rule: signed},
		{Match: "GET /v*/recording.list", Rule: signed},
		{Match: "GET /v*/recordings.list", Rule: signed},
		{Match: "GET /v*/*.list", Rule: usual},
		{Match: "GET /v*/*.info", Rule: usual},
		{Match: "GET /v*/group.members", Rule: usual},
		{Match: "GET /v*/user.lookup", Rule: usual},
	}
}

// routes knows what a request is to Roam.
type routes struct {
	rules []Rule
	own   int // how many of them are configured
	drops []Drop
	found *found
}

// found remembers which rule is of a route: trying them all takes 2 µs, which is a third of what we add to a hit.
type found struct {
	mu    sync.RWMutex // guards rules
	rules map[named]int
}

type named struct{ method, route string }

// What is remembered is bounded, and is begun anew when there is more: Roam has about 150 routes, and anybody may ask for others.
const (
	maxFound = 1000
	maxRoute = 200
)

func (f *found) get(a named) (int, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	i, ok := f.rules[a]
	return i, ok
}

func (f *found) put(a named, i int) {
	if len(a.route) > maxRoute || len(a.method) > maxRoute {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rules) >= maxFound {
		clear(f.rules)
	}
	f.rules[named{strings.Clone(a.method), strings.Clone(a.route)}] = i // and not all of the request that they are parts of
}

func newRoutes(rules []Rule, drops []Drop) (routes, error) {
	for _, r := range rules {
		if _, err := path.Match(r.Match, ""); err != nil || !strings.Contains(r.Match, " /") {
			return routes{}, fmt.Errorf("proxy: cache rule %q is not METHOD path", r.Match)
		}
	}
	for _, d := range drops {
		for _, pattern := range append([]string{d.After}, d.Routes...) {
			if _, err := path.Match(pattern, ""); err != nil {
				return routes{}, fmt.Errorf("proxy: %q is not a pattern", pattern)
			}
		}
	}
	return routes{rules: Rules(rules), own: len(rules), drops: drops, found: &found{rules: make(map[named]int)}}, nil
}

// recognize finds out what the request is to Roam, and how long it may wait.
func (p *Proxy) recognize(v *visit) {
	v.Route = route(target(v.r))
	v.rule = p.routes.rule(v.r, v.Route)
	most := v.lane.quota.MaxWait
	if own := v.tool.MaxWait; own > 0 {
		most = min(most, own)
	}
	v.wants = parseWants(v.own, most)
	if v.wants.applied != "" {
		v.w.Header().Set("Preference-Applied", v.wants.applied)
	}
}

// rule finds what is said of the request. A HEAD is kept as its GET is.
func (t routes) rule(r *http.Request, route string) Rule {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	i := t.first(named{method, route})
	switch {
	case i == len(t.rules):
		return Rule{}
	case method != http.MethodGet && (method != http.MethodPost || !t.rules[i].KeyBody):
		return Rule{} // a write, for all we know
	case i >= t.own && expandsStatus(r.URL.RawQuery):
		return Rule{} // who is there now changes by the minute
	}
	return t.rules[i]
}

// first is the place of the first rule that matches, and behind all of them where none does.
func (t routes) first(a named) int {
	i, ok := t.found.get(a)
	if !ok {
		i = len(t.rules)
		for n, rule := range t.rules {
			if ok, _ := path.Match(rule.Match, a.method+" "+a.route); ok {
				i = n
				break
			}
		}
		t.found.put(a, i)
	}
	return i
}

// expandsStatus tells whether one of the things that the answer is to be expanded by is who is there.
func expandsStatus(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err != nil || err2 != nil {
			return true // for all we know
		}
		for what := range strings.SplitSeq(value, ",") {
			if name == "expand" && strings.TrimSpace(what) == "status" {
				return true
			}
		}
	}
	return false
}

// route names the method of Roam that a path calls: the path itself, with the ids of SCIM's paths taken out and nothing escaped
// that need not be.
func route(escaped string) string {
	escaped = unescaped(escaped)
	if rest, ok := strings.CutPrefix(escaped, "/scim/v2/"); ok {
		if noun, id, ok := strings.Cut(rest, "/"); ok && id != "" {
			return "/scim/v2/" + noun + "/:id"
		}
	}
	return escaped
}

// unescaped writes the letters of a path that mean the same with and without an escape (RFC 3986, section 6.2.2.2) without one,
// so that /v1/%67roup.rename is known for the write that it is.
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

// Rules are those in force, the configured ones first. The first match wins.
func Rules(configured []Rule) []Rule {
	return append(configured[:len(configured):len(configured)], builtin()...)
}
