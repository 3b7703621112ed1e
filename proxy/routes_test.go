package proxy

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"roamproxy/cache"
)

func mustRoutes(t *testing.T, tables Tables) routes {
	t.Helper()
	r, err := newRoutes(tables)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// treatmentOf returns how a request line such as "GET /v1/user.list?limit=5" is treated.
func treatmentOf(t *testing.T, r routes, line string) Treatment {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	req, err := http.NewRequest(method, "http://x"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.treatment(method, routeOf(req.URL.EscapedPath()), req.URL.RawQuery)
}

func TestBuiltinFreshness(t *testing.T) {
	usual := cache.Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute}
	lively := cache.Rule{TTL: 5 * time.Second, Stale: time.Minute}
	signed := cache.Rule{TTL: 30 * time.Second}
	static := cache.Rule{TTL: 10 * time.Minute, Stale: 10 * time.Minute}
	never := cache.Rule{}
	r := mustRoutes(t, Tables{})
	for line, want := range map[string]cache.Rule{
		"GET /v1/groups.list":                         usual,
		"GET /v0/user.list?limit=5":                   usual,
		"GET /v1/onair.event.list":                    usual,
		"GET /v1/future.thing.list":                   usual,
		"HEAD /v1/user.info":                          usual,
		"GET /v1/group.members":                       usual,
		"GET /v0/addr.info":                           usual,
		"GET /scim/v2/Users":                          usual,
		"GET /scim/v2/Users/U-1":                      usual,
		"GET /scim/v2/Schemas":                        static,
		"GET /scim/v2/Schemas/urn:x":                  static,
		"GET /scim/v2/ServiceProviderConfig":          static,
		"GET /v1/meeting.transcript":                  static,
		"GET /v1/chat.history":                        lively,
		"GET /v1/chat.list":                           lively,
		"GET /v1/reaction.list":                       lively,
		"GET /v1/magicast.info":                       signed,
		"GET /v1/recording.list":                      signed,
		"GET /v1/recordings.list":                     signed,
		"GET /v1/token.info":                          signed,
		"GET /v1/%74oken.info":                        signed,
		"GET /v0/transcript.info?sinceOffset=1":       never,
		"GET /v1/user.activity.list":                  never,
		"GET /v1/webhook.list":                        never,
		"GET /v1/transcript.prompt":                   never,
		"GET /v1/meeting.search":                      never,
		"GET /v1/user.list?expand=status":             never,
		"GET /v1/user.list?limit=1&expand=a,%73tatus": never,
		"GET /v1/user.list?expand=a&expand=status":    never,
		"GET /v1/user.list?%65xpand=status":           never,
		"GET /v1/user.list?expand=statuses":           usual,
		"POST /v1/chat.search":                        never,
		"POST /v1/user.list":                          never,
		"DELETE /scim/v2/Users/U-1":                   never,
	} {
		t.Run(line, func(t *testing.T) {
			if got := treatmentOf(t, r, line).Rule; got != want {
				t.Errorf("cached %+v, want %+v", got, want)
			}
		})
	}
}

// A rule that sets one key leaves the others to the built-in rule. Seen to fail with defaults for them: presence was cached for 10 minutes.
func TestRulesInheritWhatTheyDoNotName(t *testing.T) {
	hour, zero := time.Hour, time.Duration(0)
	for _, tt := range []struct {
		name string
		rule Rule
		line string
		want cache.Rule
		size int
	}{
		{"pages alone keep the freshness of a list", Rule{PageSize: new(100)}, "GET /v1/user.list",
			cache.Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute}, 100},
		{"and of signed links", Rule{PageSize: new(100)}, "GET /v1/recording.list", cache.Rule{TTL: 30 * time.Second}, 100},
		{"and of chats", Rule{PageSize: new(50)}, "GET /v1/chat.list", cache.Rule{TTL: 5 * time.Second, Stale: time.Minute}, 50},
		{"and leave presence uncached", Rule{PageSize: new(100)}, "GET /v1/user.list?expand=status", cache.Rule{}, 100},
		{"and what is never cached", Rule{PageSize: new(100)}, "GET /v1/user.activity.list", cache.Rule{}, 100},
		{"a ttl keeps the stale time", Rule{TTL: &hour}, "GET /v1/user.list", cache.Rule{TTL: hour, Stale: 10 * time.Minute}, 0},
		{"a ttl is meant for presence too", Rule{TTL: &hour}, "GET /v1/user.list?expand=status", cache.Rule{TTL: hour, Stale: 10 * time.Minute},
			0},
		{"a stale time keeps the ttl", Rule{Stale: &zero}, "GET /v1/user.list", cache.Rule{TTL: 30 * time.Second}, 0},
		{"a ttl of 0 ends caching", Rule{TTL: &zero}, "GET /v1/user.list", cache.Rule{Stale: 10 * time.Minute}, 0},
		{"origin has no stale time of its own", Rule{Origin: true, TTL: &zero}, "GET /v1/user.list", cache.Rule{Origin: true}, 0},
		{"unless it is named", Rule{Origin: true, TTL: &zero, Stale: &hour}, "GET /v1/user.list", cache.Rule{Origin: true, Stale: hour}, 0},
		{"a route without a built-in rule", Rule{TTL: &hour}, "GET /v1/team.anything", cache.Rule{TTL: hour}, 0},
		{"a POST that reads", Rule{Match: "POST /v1/chat.search", TTL: &hour, KeyBody: new(true)}, "POST /v1/chat.search", cache.Rule{TTL: hour},
			0},
		{"a POST that may write", Rule{Match: "POST /v1/*", TTL: &hour}, "POST /v1/chat.post", cache.Rule{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rule.Match == "" {
				tt.rule.Match = "GET /v1/*"
			}
			got := treatmentOf(t, mustRoutes(t, Tables{Rules: []Rule{tt.rule}}), tt.line)
			if got.Rule != tt.want || got.PageSize != tt.size {
				t.Errorf("%s: %+v, pages of %d; want %+v, %d", tt.line, got.Rule, got.PageSize, tt.want, tt.size)
			}
		})
	}
}

func TestRoutesAreDecidedKeyByKey(t *testing.T) {
	minute, hour, second := time.Minute, time.Hour, time.Second
	r := mustRoutes(t, Tables{Routes: []Route{
		{Match: "POST /v1/meeting.prompt", MaxWait: &hour},
		{Match: "POST /v1/*.prompt", MaxWait: &minute, Urgency: new(5)},
		{Match: "* /v1/chat.*", Timeout: &second, Supersede: new("")},
	}})
	for _, tt := range []struct {
		line string
		want Treatment
	}{
		{"POST /v1/meeting.prompt", Treatment{MaxWait: hour, Urgency: 5, Timeout: 2 * minute}},
		{"POST /v1/transcript.prompt", Treatment{MaxWait: minute, Urgency: 5, Timeout: 2 * minute}},
		{"POST /v0/transcript.prompt", Treatment{Urgency: Undecided, Timeout: 2 * minute}},
		{"POST /mcp", Treatment{Urgency: Undecided, Timeout: 2 * minute, MaxWait: 50 * second}},
		{"GET /mcp", Treatment{Urgency: Undecided, Timeout: 2 * minute, MaxWait: 50 * second}},
		{"POST /v0/chat.typing", Treatment{Urgency: Undecided, Supersede: "chatId"}},
		{"POST /v1/chat.typing", Treatment{Urgency: Undecided, Timeout: second}},
		{"POST /v1/user.activity.set", Treatment{Urgency: Undecided, Supersede: "userId"}},
		{"POST /v1/chat.post", Treatment{Urgency: Undecided, Timeout: second}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			got := treatmentOf(t, r, tt.line)
			if got.CachedBy = ""; got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The memo returns the treatment of the right request, and its size is bounded.
func TestMemoIsBounded(t *testing.T) {
	r := mustRoutes(t, Tables{})
	for i := range 3 * maxKnown {
		line := "GET /v1/made.up" + strings.Repeat("x", i%190) + string(rune('a'+i%26)) + ".list"
		if got := treatmentOf(t, r, line); got.TTL != 30*time.Second {
			t.Fatalf("%s: cached %v, want 30s", line, got.TTL)
		}
		if n := len(r.memo.known); n > maxKnown {
			t.Fatalf("the memo holds %d routes, want at most %d", n, maxKnown)
		}
	}
	treatmentOf(t, r, "GET /v1/"+strings.Repeat("x", 10*maxRoute))
	for s := range r.memo.known {
		if len(s.route) > maxRoute {
			t.Errorf("the memo holds a route of %d bytes, want at most %d", len(s.route), maxRoute)
		}
	}
}

// cachedRoutes returns the reads of Roam that can be cached, without their version.
func cachedRoutes() []string {
	return strings.Fields(`addr.info calendar.list chat.history chat.list chat.scheduled.list conversation.list group.info group.list
		group.members groups.list guest.badge.list lobby.booking.list lobby.list lobbyBooking.list magicast.info magicast.list meeting.info
		meeting.list meeting.transcript onair.attendance.list onair.event.info onair.event.list onair.guest.info onair.guest.list
		reaction.list recording.list recordings.list token.info transcript.list user.info user.list user.lookup userauditlog.list
		/scim/v2/Users /scim/v2/Users/:id /scim/v2/Groups /scim/v2/Groups/:id`)
}

// There is a row for every documented write of the API, also for those that invalidate nothing.
func TestWhatEachWriteInvalidates(t *testing.T) {
	const (
		groups   = "group.info group.list group.members groups.list chat.list conversation.list /scim/v2/Groups /scim/v2/Groups/:id"
		users    = "addr.info user.info user.list user.lookup userauditlog.list /scim/v2/Users /scim/v2/Users/:id"
		messages = "chat.history chat.list conversation.list reaction.list"
		meetings = "meeting.info meeting.list meeting.transcript transcript.list"
		onair    = "onair.attendance.list onair.event.info onair.event.list onair.guest.info onair.guest.list"
	)
	everything := strings.Join(cachedRoutes(), " ")
	r := mustRoutes(t, Tables{})
	for _, tt := range []struct{ writes, want string }{
		{"chat.post chat.postEphemeral chat.sendMessage chat.update chat.delete chat.unfurl chat.startStream chat.appendStream " +
			"chat.stopStream chat.scheduled.cancel", messages + " chat.scheduled.list"},
		{"reaction.add reaction.remove", messages},
		{"group.create group.rename group.archive group.add group.join group.remove", groups},
		{"PUT:/scim/v2/Groups/:id PATCH:/scim/v2/Groups/:id DELETE:/scim/v2/Groups/:id /scim/v2/Groups", groups},
		{"PUT:/scim/v2/Users/:id PATCH:/scim/v2/Users/:id DELETE:/scim/v2/Users/:id /scim/v2/Users", users + " " + groups},
		{"meetinglink.create meetinglink.update meeting.link.update", meetings},
		{"lobbyBooking.cancel lobby.booking.create", "lobby.list lobby.booking.list lobbyBooking.list"},
		{"onair.event.create onair.event.update onair.event.cancel onair.guest.add onair.guest.update onair.guest.remove", onair},
		{"calendar.event.create", "calendar.list"},
		{"guest.badge.create guest.badge.update guest.badge.revoke", "guest.badge.list"},
		{"user.update", users},
		{"token.revoke app.uninstall", everything},
		{"chat.typing user.activity.set user.activity.clear user.status.set user.status.clear user.statusBubble.set user.statusBubble.clear", ""},
		{"chat.link.create meeting.link.create meeting.shareLink magicast.shareLink meeting.prompt transcript.prompt", ""},
		{"chat.search chat.link.resolve meeting.link.info meetinglink.info messageevent.export", ""},
		{"asset.create item.upload story.post webhook.subscribe webhook.unsubscribe test", ""},
	} {
		for written := range strings.FieldsSeq(tt.writes) {
			t.Run(written, func(t *testing.T) {
				method, route, ok := strings.Cut(written, ":/")
				if !ok {
					method, route = http.MethodPost, written
				} else {
					route = "/" + route
				}
				if !strings.HasPrefix(route, "/") {
					route = "/v1/" + route
				}
				var got []string
				for _, read := range cachedRoutes() {
					group := read
					if !strings.HasPrefix(read, "/") {
						group = "/v0/" + read
					}
					if r.effectOf(method, route).covers(group, "") {
						got = append(got, read)
					}
				}
				want := strings.Fields(tt.want)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("invalidates %v, want %v", got, want)
				}
			})
		}
	}
}

func TestAWriteInOneChatLeavesTheOthers(t *testing.T) {
	r := mustRoutes(t, Tables{})
	for _, tt := range []struct {
		name, query, chat string
		want              bool
	}{
		{"the chat that was written to", "chat=C-1", "C-1", true},
		{"by v1's name for it", "limit=5&chatId=C-1", "C-1", true},
		{"in escapes", "chat%49d=C%2D1", "C-1", true},
		{"another chat", "chat=C-2", "C-1", false},
		{"a group, which may be that chat", "chat=G-2", "C-1", true},
		{"a write that names no chat", "chat=C-2", "", true},
		{"a history that names no chat", "", "C-1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			group := cacheGroup("/v1/chat.history", tt.query)
			if got := r.effectOf("POST", "/v1/chat.post").covers(group, tt.chat); got != tt.want {
				t.Errorf("%s is invalidated by a write to %q: %v, want %v", group, tt.chat, got, tt.want)
			}
		})
	}
}

func TestConfiguredDropsAdd(t *testing.T) {
	r := mustRoutes(t, Tables{Drops: []Drop{{After: "POST /v1/team.*", Routes: []string{"/v*/user.list"}}}})
	e := r.effectOf("POST", "/v1/team.join")
	for group, want := range map[string]bool{"/v1/user.list": true, "/v1/team.list": true, "/v1/user.info": false,
		"/v1/chat.history?chat=C-1": false} {
		t.Run(group, func(t *testing.T) {
			if got := e.covers(group, ""); got != want {
				t.Errorf("it is invalidated: %v, want %v", got, want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	minute := time.Minute
	tables := Tables{Rules: []Rule{{Match: "GET /v*/*.list", PageSize: new(100)}},
		Drops:  []Drop{{After: "POST /v1/team.*", Routes: []string{"/v1/user.list"}}},
		Routes: []Route{{Match: "GET /v1/user.list", MaxWait: &minute}}}
	e, err := tables.Explain("GET", "/v1/user.list?limit=3")
	if err != nil {
		t.Fatal(err)
	}
	if e.CachedBy != "GET /v*/*.list" || e.TTL != 30*time.Second || e.PageSize != 100 || e.MaxWait != minute {
		t.Errorf("got %+v, want the page size of the rule, the built-in ttl, and the wait of the route", e)
	}
	if want := []string{"POST user.*", "SCIM Users", "POST /v1/team.*", "token.revoke", "app.uninstall"}; !slices.Equal(e.After, want) {
		t.Errorf("invalidated by %v, want %v", e.After, want)
	}
	if e, err = tables.Explain("POST", "/v1/chat.post"); err != nil || len(e.Affects) != 4 || e.Stores() {
		t.Errorf("a write: %+v, %v; want four routes affected, and nothing stored", e, err)
	}
	for _, target := range []string{"", "v1/user.list", "http://["} {
		t.Run("target "+target, func(t *testing.T) {
			if _, err := tables.Explain("GET", target); err == nil {
				t.Error("no error, want one")
			}
		})
	}
}

// An invalid pattern of an operator is an error: otherwise the rule never matches, and that is noticed late.
func TestTablesRefuseInvalidPatterns(t *testing.T) {
	for name, tables := range map[string]Tables{
		"a rule without a method":           {Rules: []Rule{{Match: "user.list"}}},
		"a rule with a broken path":         {Rules: []Rule{{Match: "GET /v1/["}}},
		"an empty route":                    {Routes: []Route{{Match: ""}}},
		"a drop after a broken path":        {Drops: []Drop{{After: "POST /v1/[", Routes: []string{"/v1/x"}}}},
		"a drop of a route that is no path": {Drops: []Drop{{After: "POST /v1/x", Routes: []string{"/v1/["}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newRoutes(tables); err == nil {
				t.Error("no error, want one")
			}
		})
	}
	if _, err := path.Match(builtinRules()[0].match, ""); err != nil {
		t.Error(err)
	}
}
