package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"roamproxy/cache"
	"roamproxy/limiter/transport"
)

// Drop adds routes to those that a write invalidates.
type Drop struct {
	After  string   // "METHOD path" of the write
	Routes []string // path.Match patterns
}

// Purge removes the cached answers of every route that matches a pattern of path.Match, and returns how many there were. A method
// before the pattern, as in a rule, is ignored.
func (p *Proxy) Purge(pattern string) (int, error) {
	if _, after, ok := strings.Cut(pattern, " "); ok {
		pattern = after
	}
	if _, err := path.Match(pattern, ""); err != nil || !strings.HasPrefix(pattern, "/") {
		return 0, fmt.Errorf("%q is not a pattern of paths, such as /v1/group.*", pattern)
	}
	if ok, _ := path.Match(pattern, mcpRoute); ok {
		p.lists.drop()
	}
	return p.o.Cache.Invalidate(func(group string) bool {
		route, _ := splitGroup(group)
		ok, _ := path.Match(pattern, route)
		return ok
	}), nil
}

// invalidateAnswered invalidates what an answered write affects. A status below 400 means that Roam executed it (RFC 9111, section 4.4).
// After a 5xx the outcome is unknown.
func (p *Proxy) invalidateAnswered(rq *request) {
	switch {
	case rq.Status == http.StatusUnauthorized:
		p.credentialRefused(rq)
	case rq.Status < 400 || rq.Status >= 500:
		p.invalidate(rq.Method, rq.Route, rq.chat)
		p.invalidateCalls(rq)
	}
}

// credentialRefused invalidates the answers about the credential when Roam answers 401. It does nothing if no call was sent, which is so
// while the gate refuses the credential.
func (p *Proxy) credentialRefused(rq *request) {
	if rq.Attempts > 0 {
		p.lists.drop()
		p.o.Cache.Invalidate(func(group string) bool { return path.Base(group) == "token.info" })
	}
}

// invalidateUnanswered invalidates what a write without an answer affects, because Roam may have executed it: the connection broke, Roam
// was silent, or the tool left while the call was in progress.
func (p *Proxy) invalidateUnanswered(rq *request, err error) {
	if rq.call == nil || rq.call.Attempts == 0 {
		return
	}
	var sending *transport.SendError
	if errors.As(err, &sending) && !sending.Sent {
		return
	}
	p.invalidate(rq.Method, rq.Route, rq.chat)
	p.invalidateCalls(rq)
}

// namedChat returns the chat that a write names in its query or its held body, or "".
func (rq *request) namedChat() string {
	if noun := family(rq.Route); noun != "chat" && noun != "reaction" {
		return ""
	}
	if _, chat := splitGroup(cacheGroup("/chat.history", rq.r.URL.RawQuery)); chat != "" {
		return chat
	}
	if rq.body == nil {
		return ""
	}
	chat, _ := bodyField(rq.body, "chat", "chatId")
	rq.body.Seek(0, io.SeekStart)
	return chat
}

// invalidate removes the cached answers, of every credential, that a write may have made wrong. chat is the one that the write
// names, or "".
func (p *Proxy) invalidate(method, written, chat string) {
	p.drop(p.routes.effectOf(method, written), chat)
}

func (p *Proxy) drop(e effect, chat string) {
	if !e.isNone() {
		p.o.Cache.Invalidate(func(group string) bool { return e.covers(group, chat) })
	}
}

// effect is what a write invalidates.
type effect struct {
	everything bool     // all entries: the credential was revoked
	families   []string // entries of these nouns, see family
	chats      bool     // lists of chats
	messages   bool     // messages and reactions of the chat that the write names
	patterns   []string // patterns of routes, from the configuration
}

func (e effect) isNone() bool {
	return !e.everything && !e.chats && !e.messages && len(e.families)+len(e.patterns) == 0
}

// effectOf returns what a write affects. Reads affect nothing.
func (r routes) effectOf(method, written string) effect {
	if !isWriteRoute(method, written) {
		return effect{}
	}
	return r.effectOfWrite(method, written)
}

// effectOfWrite returns what a call that is known to write affects, whatever its name says.
func (r routes) effectOfWrite(method, written string) effect {
	e := builtinEffect(written)
	for _, d := range r.Drops {
		if ok, _ := path.Match(d.After, method+" "+written); ok {
			e.patterns = append(e.patterns, d.Routes...)
		}
	}
	return e
}

// builtinEffect derives the effect from the name of the method, so a method that Roam adds later is handled like similar ones.
func builtinEffect(written string) effect {
	name := path.Base(written)
	if hasNoEffect(name) {
		return effect{}
	}
	switch own := family(written); {
	case name == "token.revoke" || name == "app.uninstall":
		return effect{everything: true}
	case own == "chat" || own == "reaction":
		return effect{families: []string{own}, chats: true, messages: true}
	case own == "group":
		return effect{families: []string{"group"}, chats: true} // a chat has the name and the members of its group
	case strings.HasPrefix(written, "/scim/v2/Users"):
		return effect{families: []string{"user", "group"}, chats: true} // an archived user leaves the groups
	default:
		return effect{families: []string{own}}
	}
}

// hasNoEffect reports whether a write changes nothing that is cached: typing, presence, links, answers of an AI.
func hasNoEffect(name string) bool {
	return name == "chat.typing" || strings.HasPrefix(name, "user.activity.") || strings.HasPrefix(name, "user.status") ||
		strings.HasSuffix(name, ".link.create") || strings.HasSuffix(name, ".shareLink") || strings.HasSuffix(name, ".prompt")
}

// covers reports whether the write invalidates the answers of a group. A write that names no chat affects all chats.
func (e effect) covers(group, chat string) bool {
	route, of := splitGroup(group)
	name := path.Base(route)
	switch {
	case e.everything:
		return true
	case e.messages && name == "chat.history":
		return chat == "" || of == "" || of == chat || !isSameKind(of, chat)
	case slices.Contains(e.families, family(route)):
		return true
	case e.chats && (name == "chat.list" || name == "conversation.list"):
		return true
	case e.messages && name == "reaction.list":
		return true
	}
	return slices.ContainsFunc(e.patterns, func(pattern string) bool { ok, _ := path.Match(pattern, route); return ok })
}

// isSameKind reports whether two ids of chats have the same prefix, such as C- or G-. Ids with different prefixes may name the same
// chat.
func isSameKind(a, b string) bool {
	tag, _, _ := strings.Cut(a, "-")
	other, _, _ := strings.Cut(b, "-")
	return tag == other
}

// cacheGroup returns the name of the group of entries that one write invalidates together: the route, and for messages the chat too.
func cacheGroup(route, rawQuery string) string {
	if path.Base(route) == "chat.history" {
		for p := range cache.Parameters(rawQuery) {
			if (p.Name == "chat" || p.Name == "chatId") && p.Value != "" {
				return route + chatMark + p.Value
			}
		}
	}
	return route
}

// chatMark separates route and chat in the name of a group. A route, which is a path, cannot contain it.
const chatMark = "?chat="

func splitGroup(group string) (route, chat string) {
	route, chat, _ = strings.Cut(group, chatMark)
	return route, chat
}

// family returns the noun of a route, in the singular: group for group.rename, groups.list and SCIM's Groups.
func family(route string) string {
	last := strings.TrimPrefix(route, "/scim/v2/")
	if last == route {
		last = path.Base(route)
	}
	last, _, _ = strings.Cut(last, "/")
	last, _, _ = strings.Cut(last, ".")
	switch noun := strings.TrimSuffix(strings.ToLower(last), "s"); noun {
	case "addr", "userauditlog":
		return "user"
	case "lobbybooking":
		return "lobby"
	case "meetinglink", "transcript":
		return "meeting"
	default:
		return noun
	}
}

// isWriteRoute reports whether a call of this route may change something at Roam.
func isWriteRoute(method, route string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions && !isQuery(route)
}

// isQuery reports whether a POST only reads.
func isQuery(route string) bool {
	_, verb, _ := strings.Cut(path.Base(route), ".")
	verb = verb[strings.LastIndex(verb, ".")+1:]
	return slices.Contains([]string{"search", "info", "list", "resolve", "prompt", "export", "history"}, verb)
}
