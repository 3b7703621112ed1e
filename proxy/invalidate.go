package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"roamproxy/limiter"
)

// Drop says which routes' answers are forgotten after a write.
type Drop struct {
	After  string   // "METHOD path" of the write
	Routes []string // path.Match patterns
}

// Purge forgets the answers of every route that matches a pattern of path.Match, and tells how many that were. A method before
// it, as in a rule, does not matter.
func (p *Proxy) Purge(pattern string) (int, error) {
	if _, after, ok := strings.Cut(pattern, " "); ok {
		pattern = after
	}
	if _, err := path.Match(pattern, ""); err != nil || !strings.HasPrefix(pattern, "/") {
		return 0, fmt.Errorf("%q is not a pattern of paths, such as /v1/group.*", pattern)
	}
	return p.o.Cache.Drop(func(route string) bool { ok, _ := path.Match(pattern, route); return ok }), nil
}

// settle forgets what a write that was answered touched: when Roam did it (RFC 9111, section 4.4: it need only be no error), and
// when nobody knows whether it did.
func (p *Proxy) settle(v *visit) {
	if v.Status < 400 || v.Status >= 500 {
		p.dropAfter(v.Method, v.Route)
	}
}

// unsettled forgets what a write touched that got no answer, for it may have happened: the connection broke, Roam was silent, or
// the tool went away while the call was under way.
func (p *Proxy) unsettled(v *visit, err error) {
	if v.journey == nil || v.journey.Attempts == 0 {
		return
	}
	var sending *limiter.SendError
	if errors.As(err, &sending) && !sending.Sent {
		return
	}
	p.dropAfter(v.Method, v.Route)
}

// dropAfter forgets what a write touched: the entries of its own noun, for messages those of the conversations they are in, and
// what the configuration names.
func (p *Proxy) dropAfter(method, written string) {
	if !writes(method, written) {
		return
	}
	own := noun(written)
	p.o.Cache.Drop(func(route string) bool {
		if noun(route) == own || (own == "chat" || own == "reaction") && talk(route) {
			return true
		}
		return slices.ContainsFunc(p.routes.drops, func(d Drop) bool {
			after, _ := path.Match(d.After, method+" "+written)
			return after && slices.ContainsFunc(d.Routes, func(pattern string) bool { ok, _ := path.Match(pattern, route); return ok })
		})
	})
}

// noun is what a route is about, in the singular: group.rename and groups.list are about the same, and so are SCIM's Groups.
func noun(route string) string {
	last := strings.TrimPrefix(route, "/scim/v2/")
	if last == route {
		last = path.Base(route)
	}
	last, _, _ = strings.Cut(last, "/")
	last, _, _ = strings.Cut(last, ".")
	return strings.TrimSuffix(strings.ToLower(last), "s")
}

func talk(route string) bool {
	switch path.Base(route) {
	case "chat.history", "chat.list", "conversation.list", "reaction.list":
		return true
	}
	return false
}

// writes reports whether a call may change something at Roam.
func writes(method, route string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions && !asks(route)
}

// asks tells whether a POST only reads.
func asks(route string) bool {
	_, verb, _ := strings.Cut(path.Base(route), ".")
	verb = verb[strings.LastIndex(verb, ".")+1:]
	switch verb {
	case "search", "info", "list", "resolve", "prompt", "export", "history":
		return true
	}
	return false
}
