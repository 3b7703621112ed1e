package roamtest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The official SDKs speak v1, where a chat is chatId and may be named by a group or an address.
func TestMessagesPostedOnV1AreInTheHistory(t *testing.T) {
	group := newGroup(1, "", time.Time{}).ID
	direct := "D-" + strings.TrimPrefix(newUser(3).ID, "U-")
	for _, tt := range []struct{ name, body, chat string }{
		{"by chat", `{"chatId":"C-1","text":"hello"}`, "C-1"},
		{"by group", `{"groupId":"` + group + `","text":"hello"}`, group},
		{"by the address of a user", `{"email":"user003@example.com","text":"hello"}`, direct},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := unmetered().Transport()
			res, body := call(t, rt, "POST", "/v1/chat.post", tt.body)
			var posted struct {
				OK        bool
				ChatID    string
				Timestamp json.Number
			}
			if err := json.Unmarshal([]byte(body), &posted); err != nil || res.StatusCode != 200 || !posted.OK || posted.ChatID != tt.chat {
				t.Fatalf("posting: %d %s, want chatId %q", res.StatusCode, body, tt.chat)
			}
			if strings.Contains(body, `"chat":`) {
				t.Errorf("v1 answered %s, want no field of v0", body)
			}
			if _, body := call(t, rt, "GET", "/v1/chat.history?chatId="+tt.chat, ""); !strings.Contains(body, posted.Timestamp.String()) {
				t.Errorf("the history is %s, want the message in it", body)
			}
		})
	}
}

// The rows run in this order, because reads show what earlier rows wrote.
func TestReadsShowEarlierWrites(t *testing.T) {
	rt := unmetered().Transport()
	group, user := newGroup(5, "", time.Time{}).ID, newUser(5).ID
	for _, tt := range []struct{ name, method, target, body, want string }{
		{"users by id", "GET", "/v1/user.list?ids=" + newUser(7).ID + "," + user, "", `"users":[{"id":"` + newUser(7).ID},
		{"expand takes a list", "GET", "/v1/user.list?expand=email,status", "", `"status":"checkedIn"`},
		{"the alias of the recordings", "GET", "/v1/recordings.list", "", `"recordings":[{`},
		{"joining a group", "POST", "/v1/group.join", `{"groupId":"` + group + `"}`, `{"ok"`},
		{"the members after joining", "GET", "/v1/group.members?limit=100&groupId=" + group, "", `"B-`},
		{"archiving a user by SCIM", "PATCH", "/scim/v2/Users/" + user, `{"Operations":[{"op":"replace","value":{"active":false}}]}`,
			`"active":false`},
		{"the address of an archived user", "GET", "/v1/addr.info?addr=" + user, "", `"addr_not_found"`},
		{"setting a status", "POST", "/v1/user.statusBubble.set", `{"userId":"U-1","emoji":"x"}`, `"ok":true`},
		{"the status that was set", "GET", "/v1/user.statusBubble.get?userId=U-1", "", `"emoji":"x"`},
		{"a stream", "POST", "/v1/chat.startStream", `{"chatId":"C-9","text":"one"}`, `"timestamp"`},
		{"a search for the stream", "POST", "/v1/chat.search", `{"query":"ONE"}`, `"text":"one"`},
		{"token.info on v1", "GET", "/v1/token.info", "", `"access":"organization"`},
		{"revoking the credential", "POST", "/v1/token.revoke", "", `"ok":true`},
		{"a read with a revoked credential", "GET", "/v1/user.list", "", `"token_revoked"`},
		{"SCIM discovery without a credential", "GET", "/scim/v2/Schemas", "", `"totalResults":3`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := call(t, rt, tt.method, tt.target, tt.body)
			if res.StatusCode == http.StatusNoContent {
				body = `{"ok"`
			}
			if !strings.Contains(body, tt.want) {
				t.Errorf("got %d %.200s\nwant %s", res.StatusCode, body, tt.want)
			}
		})
	}
}

func TestUnknownMethodsAre404UnlessLenient(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		lenient      bool
		status       int
		want         string
	}{
		{"a read", "GET", false, 404, `"unknown_method"`},
		{"a read of a lenient simulator", "GET", true, 200, `{"ok":true}`},
		{"a write of a lenient simulator", "POST", true, 200, `{"ok":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := New(Options{Lenient: tt.lenient}).Transport()
			res, body := call(t, rt, tt.method, "/v1/future.thing", `{}`)
			if res.StatusCode != tt.status || !strings.Contains(body, tt.want) || (res.Header.Get("Roamtest-Unknown") != "") != tt.lenient {
				t.Errorf("got %d %s, Roamtest-Unknown %q; want %d %s", res.StatusCode, body, res.Header.Get("Roamtest-Unknown"), tt.status, tt.want)
			}
		})
	}
}

// A live transcript grows, so a proxy must not cache it; sinceOffset asks for the new part.
func TestLiveTranscriptGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := New(Options{}).Transport()
		time.Sleep(3 * time.Second)
		_, first := call(t, rt, "GET", "/v1/transcript.info?id=live", "")
		time.Sleep(2 * time.Second)
		_, rest := call(t, rt, "GET", "/v1/transcript.info?id=live&sinceOffset=3000", "")
		if got, want := strings.Count(first, `"speaker"`), 3; got != want {
			t.Errorf("after 3 s: %d cues, want %d", got, want)
		}
		if got, want := strings.Count(rest, `"speaker"`), 2; got != want || strings.Contains(rest, `"end"`) {
			t.Errorf("the rest: %d cues, want %d, and no end in %s", got, want, rest)
		}
	})
}

// An answer of the AI takes seconds, and other calls are answered meanwhile.
func TestPromptsAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := New(Options{PromptLatency: 20 * time.Second}).Transport()
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			call(t, rt, "POST", "/v1/meeting.prompt", `{"meetingId":"`+id("meeting", 1)+`","prompt":"What?"}`)
			done <- time.Since(start)
		}()
		synctest.Wait()
		call(t, rt, "GET", "/v1/groups.list", "")
		if got := time.Since(start); got != 0 {
			t.Errorf("a read beside it took %v, want 0", got)
		}
		if got, want := <-done, 20*time.Second; got != want {
			t.Errorf("the prompt took %v, want %v", got, want)
		}
	})
}
