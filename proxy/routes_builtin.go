package proxy

import (
	"time"

	"roamproxy/cache"
)

// builtinRule is a rule with every key decided.
type builtinRule struct {
	match string
	cache.Rule
}

// builtinRules returns what is cached unless configured otherwise. The first match wins; other routes are never cached. The rules are
// patterns and not a list of methods, so a method that Roam adds later is handled like similar ones.
func builtinRules() []builtinRule {
	never := cache.Rule{}
	usual := cache.Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute}
	lively := cache.Rule{TTL: 5 * time.Second, Stale: time.Minute}
	signed := cache.Rule{TTL: 30 * time.Second} // the answer holds links that expire
	static := cache.Rule{TTL: 10 * time.Minute, Stale: 10 * time.Minute}
	return []builtinRule{
		{"GET /v*/token.info", cache.Rule{TTL: 30 * time.Second}}, // a 401 removes it
		{"GET /v*/transcript.info", never},                        // polled while it grows
		{"GET /v*/meeting.transcript", static},                    // Roam answers transcript_pending until it is complete
		{"GET /v*/user.activity.list", never},
		{"GET /v*/user.statusBubble.get", never},
		{"GET /v*/webhook.*", never},
		{"GET /v*/*.prompt", never},
		{"GET /v*/meeting.search", never},
		{"GET /v*/chat.history", lively},
		{"GET /v*/chat.list", lively},
		{"GET /v*/conversation.list", lively},
		{"GET /v*/reaction.list", lively},
		{"GET /v*/magicast.info", signed},
		{"GET /v*/recording.list", signed},
		{"GET /v*/recordings.list", signed},
		{"GET /v*/*.list", usual},
		{"GET /v*/*.info", usual},
		{"GET /v*/group.members", usual},
		{"GET /v*/user.lookup", usual},
		{"GET /scim/v2/ServiceProviderConfig", static},
		{"GET /scim/v2/ResourceTypes", static},
		{"GET /scim/v2/Schemas", static},
		{"GET /scim/v2/Schemas/*", static},
		{"GET /scim/v2/*", usual},
		{"GET /scim/v2/*/*", usual},
	}
}

// builtinRoutes returns how calls are treated unless configured otherwise.
func builtinRoutes() []Route {
	slow, agents := 2*time.Minute, 50*time.Second
	chat, user := "chatId", "userId"
	return []Route{
		{Match: "* /v*/*.prompt", Timeout: &slow},
		{Match: "* /mcp", Timeout: &slow, MaxWait: &agents}, // the hosts of agents give up after 60 s
		{Match: "POST /v*/chat.typing", Supersede: &chat},
		{Match: "POST /v*/user.activity.set", Supersede: &user},
	}
}
