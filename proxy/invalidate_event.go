package proxy

import (
	"net/http"
	"strings"
)

// InvalidateEvent removes the cached answers that a webhook event affects. chat is the one that the event names, or "". It returns when
// they are removed, on all replicas that can be reached.
func (p *Proxy) InvalidateEvent(name, chat string) {
	if e := eventEffect(name); !e.isNone() {
		p.o.Cache.Invalidate(func(group string) bool { return e.covers(group, chat) })
	}
}

// eventWrites returns the method that makes the same change as an event. Most events are named after their method.
func eventWrites(name string) string {
	switch name {
	case "chat.message", "chat.message.dm", "chat.message.channel", "chat.message.mention", "chat.link.shared":
		return "chat.post"
	case "chat.reaction", "chat.message.reaction":
		return "reaction.add"
	case "user.status.update":
		return "user.status.set"
	case "app.uninstalled":
		return "app.uninstall"
	case "token.revoked":
		return "token.revoke"
	}
	return name
}

// eventEffect returns what an event invalidates: the same as the method that makes the same change. An event of unknown name affects its
// noun, and one without a name everything.
func eventEffect(name string) effect {
	if name == "" {
		return effect{everything: true}
	}
	e := routes{}.effectOf(http.MethodPost, "/v1/"+eventWrites(name))
	switch noun, _, _ := strings.Cut(name, "."); noun {
	case "meeting", "transcript": // an ended meeting has a recording soon
		e.families = append(e.families, "recording")
	case "recording": // and its meeting says so
		e.families = append(e.families, "meeting")
	}
	return e
}
