package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Explanation says how a request would be treated. Nothing is sent to Roam.
type Explanation struct {
	Route string // the method of Roam
	Treatment
	Affects []string // patterns of cached routes that this write invalidates
	After   []string // patterns of writes that invalidate this read
}

// Explain returns how a request such as GET /v1/user.list?expand=status would be treated.
func (t Tables) Explain(method, target string) (Explanation, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil || !strings.HasPrefix(target, "/") {
		return Explanation{}, fmt.Errorf("want METHOD /path, such as GET /v1/user.list?expand=status, not %q", method+" "+target)
	}
	known, err := newRoutes(t)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Route: routeOf(u.EscapedPath())}
	e.Treatment = known.treatment(method, e.Route, u.RawQuery)
	e.Affects = known.effectOf(method, e.Route).describe()
	if e.Stores() {
		e.After = known.writesAffecting(cacheGroup(e.Route, u.RawQuery))
	}
	return e, nil
}

// describe returns the cached routes that an effect covers, as patterns.
func (e effect) describe() (all []string) {
	if e.everything {
		return []string{"everything"}
	}
	for _, noun := range e.families {
		if noun != "chat" {
			all = append(all, noun+".*")
		}
	}
	if e.chats {
		all = append(all, "chat.list", "conversation.list")
	}
	if e.messages {
		all = append(all, "reaction.list", "chat.history of the chat that the body names")
	}
	return append(all, e.patterns...)
}

// writesAffecting returns the writes that invalidate a group of cached answers, as patterns. It tries one write of each family.
func (r routes) writesAffecting(group string) (all []string) {
	route, _ := splitGroup(group)
	nouns := []string{"chat", "group", "reaction", "user"}
	if own := family(route); own != "chat" && own != "group" && own != "reaction" && own != "user" {
		nouns = append(nouns, own)
	}
	for _, noun := range nouns {
		if r.effectOf(http.MethodPost, "/v1/"+noun+".update").covers(group, "") {
			all = append(all, "POST "+noun+".*")
		}
	}
	for _, noun := range []string{"Groups", "Users"} {
		if r.effectOf(http.MethodPut, "/scim/v2/"+noun+"/:id").covers(group, "") {
			all = append(all, "SCIM "+noun)
		}
	}
	for _, d := range r.Drops {
		if (effect{patterns: d.Routes}).covers(group, "") {
			all = append(all, d.After)
		}
	}
	return append(all, "token.revoke", "app.uninstall")
}

// BuiltinRules returns the built-in table of what is cached, in its order.
func BuiltinRules() (all []Rule) {
	for _, r := range builtinRules() {
		all = append(all, Rule{Match: r.match, TTL: &r.TTL, Stale: &r.Stale})
	}
	return all
}
