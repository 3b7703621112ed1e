package roamtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// call sends one request to a simulated Roam without a socket and reads the whole answer.
func call(t *testing.T, rt http.RoundTripper, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://roam.example"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+DefaultKey)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading: %v", method, target, err)
	}
	return res, string(text)
}

func unmetered() *Roam { return New(Options{Rate: 1000, Burst: 10_000}) }

func TestQuotaIsTenAtOnceAndThenOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		roam := New(Options{})
		rt := roam.Transport()
		for i := range 10 {
			if res, _ := call(t, rt, "GET", "/v1/groups.list", ""); res.StatusCode != 200 {
				t.Fatalf("call %d of the burst: %d, want 200", i+1, res.StatusCode)
			}
		}
		res, body := call(t, rt, "GET", "/v1/groups.list", "")
		if res.StatusCode != 429 || res.Header.Get("Retry-After") != "10" || strings.TrimSpace(body) != `{"error":"ratelimited","ok":false}` {
			t.Errorf("the eleventh: %d, Retry-After %q, %s; want 429 with 10", res.StatusCode, res.Header.Get("Retry-After"), body)
		}
		if res, body := call(t, rt, "GET", "/v0/user.list", ""); res.StatusCode != 429 || strings.Contains(body, `"ok"`) {
			t.Errorf("on v0: %d %s, want an error without ok", res.StatusCode, body)
		}
		time.Sleep(time.Second - time.Nanosecond)
		if res, _ := call(t, rt, "GET", "/v1/groups.list", ""); res.StatusCode != 429 {
			t.Errorf("a nanosecond early: %d, want 429", res.StatusCode)
		}
		time.Sleep(time.Nanosecond)
		if res, _ := call(t, rt, "GET", "/v1/groups.list", ""); res.StatusCode != 200 {
			t.Errorf("a second later: %d, want 200", res.StatusCode)
		}
		if calls, admitted, refused := roam.Calls(), roam.Admitted(), roam.Refused(); calls != 14 || admitted != 11 || refused != 3 {
			t.Errorf("journal: %d calls, %d admitted, %d refused; want 14, 11, 3", calls, admitted, refused)
		}
	})
}

// Many small steps add up to the same tokens as one large step, also at rates that a float cannot hold exactly.
func TestBucketNeverDrifts(t *testing.T) {
	for _, rate := range []float64{0.05, 1.0 / 8, 3, 7, 40, 333} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			b := newBucket(rate, 1)
			start := b.last
			if !b.take(start) || b.take(start) {
				t.Fatal("a full bucket of one does not hold one call, want it to")
			}
			due := start
			for range 50 {
				due = due.Add(time.Duration(float64(time.Second) / rate))
				for at := b.last; at.Before(due.Add(-time.Microsecond)); at = at.Add(due.Sub(b.last)/7 + 1) {
					if b.take(at) && at.Before(due.Add(-2*time.Microsecond)) {
						t.Fatalf("taken at %v, want none before %v", at.Sub(start), due.Sub(start))
					}
				}
				if !b.take(due.Add(time.Microsecond)) {
					t.Fatalf("no token at %v, want one", due.Sub(start))
				}
				due = b.last
			}
		})
	}
}

func TestCredentialIsChecked(t *testing.T) {
	roam := New(Options{Rate: 1000, Burst: 1000, Keys: []string{"writer"}, ReadOnly: []string{"reader"}})
	for _, tt := range []struct {
		name, method, path, authorization string
		want                              int
	}{
		{"a known key", "GET", "/v1/groups.list", "Bearer writer", 200},
		{"a key that may read", "GET", "/v1/groups.list", "Bearer reader", 200},
		{"a key that may only read, writing", "POST", "/v1/chat.post", "Bearer reader", 403},
		{"an unknown key", "GET", "/v1/groups.list", "Bearer wrong", 401},
		{"no scheme", "GET", "/v1/groups.list", "writer", 401},
		{"another scheme", "GET", "/v1/groups.list", "Basic writer", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if res, body := call(t, roam.Transport(), tt.method, tt.path, `{}`, "Authorization", tt.authorization); res.StatusCode != tt.want {
				t.Errorf("%d %s, want %d", res.StatusCode, body, tt.want)
			}
		})
	}
	for _, c := range roam.Journal() {
		if c.Status == 401 && c.Admitted {
			t.Errorf("%s %s: a refused credential spent a token, want none spent", c.Method, c.Path)
		}
		if c.Header.Get("Authorization") != "" || len(c.Credential) != 8 {
			t.Errorf("the journal shows the credential: %v, want a digest", c)
		}
	}
}

func TestPagesOfUsers(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		end         End
		pages       int
		last        string
	}{
		{"at the usual limit", "", Absent, 26, `absent`},
		{"at the largest limit", "limit=100", Null, 3, `null`},
		{"above the largest limit", "limit=1000", Empty, 3, `""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			roam := New(Options{Rate: 1000, Burst: 1000, End: tt.end})
			seen := map[string]bool{}
			cursor, pages, last := "", 0, ""
			for {
				_, body := call(t, roam.Transport(), "GET", "/v1/user.list?"+tt.query+"&cursor="+cursor, "")
				var page struct {
					OK    bool
					Users []struct{ ID string }
					Next  json.RawMessage `json:"nextCursor"`
				}
				if err := json.Unmarshal([]byte(body), &page); err != nil || !page.OK {
					t.Fatalf("%v in %s", err, body)
				}
				for _, u := range page.Users {
					seen[u.ID] = true
				}
				pages++
				if last = string(page.Next); last == "" {
					last = "absent"
				}
				if json.Unmarshal(page.Next, &cursor); last == tt.last || pages > 100 {
					break
				}
			}
			if len(seen) != 253 || pages != tt.pages || last != tt.last {
				t.Errorf("%d users on %d pages, ending in %s; want 253 on %d, %s", len(seen), pages, last, tt.pages, tt.last)
			}
		})
	}
}

// The rows run in this order, because some read what earlier ones wrote.
func TestAnswersOfMethods(t *testing.T) {
	roam := unmetered()
	rt := roam.Transport()
	big := strings.Repeat("x", maxItem+1)
	png := []string{"Content-Type", "image/png", "Content-Disposition", `attachment; filename="a.png"`}
	for _, tt := range []struct {
		name, method, target, body string
		header                     []string
		status                     int
		want                       string
	}{
		{"the groups are a bare array", "GET", "/v1/groups.list", "", nil, 200, `[{"accessMode"`},
		{"v1 is wrapped", "GET", "/v1/group.list", "", nil, 200, `"ok":true`},
		{"the user is found by id", "GET", "/v1/user.info?id=U-" + id("user", 3), "", nil, 200, `user003@example.com`},
		{"no such user", "GET", "/v0/user.info?id=U-0", "", nil, 404, `{"error":"No such user."}`},
		{"a status that expand names", "GET", "/v0/user.list?expand=status", "", nil, 200, `"status":"checkedIn"`},
		{"the owner of the token", "GET", "/v0/token.info", "", nil, 200, `"scopes"`},
		{"a message", "POST", "/v1/chat.post", `{"chat":"C-1","text":"hello"}`, nil, 200, `"timestamp"`},
		{"the history with that message", "GET", "/v1/chat.history?chat=C-1", "", nil, 200, `"text":"hello"`},
		{"a history without a chat", "GET", "/v1/chat.history", "", nil, 400, `"missing_chat"`},
		{"a group", "POST", "/v1/group.create", `{"name":"New"}`, nil, 200, `"name":"New"`},
		{"a group renamed", "POST", "/v0/group.rename", `{"id":"G-` + id("group", 1) + `","name":"Builders"}`, nil, 204, ``},
		{"the list with the new name", "GET", "/v1/groups.list", "", nil, 200, `"Builders"`},
		{"an upload", "POST", "/v1/item.upload", "png", png, 200, `"name":"a.png"`},
		{"an upload that is too large", "POST", "/v1/item.upload", big, png, 413, `"file_too_large"`},
		{"an upload of something else", "POST", "/v1/item.upload", "x", []string{"Content-Type", "text/html"}, 415, `"unsupported_media_type"`},
		{"an upload without a name", "POST", "/v1/item.upload", "x", []string{"Content-Type", "image/png"}, 400, `"missing_filename"`},
		{"a transcript", "GET", "/v1/meeting.transcript?meetingId=" + id("meeting", 7), "", nil, 200, `"This is meeting 7."`},
		{"a transcript as WebVTT", "GET", "/v1/meeting.transcript?meetingId=" + id("meeting", 7), "", []string{"Accept", "text/vtt"}, 200,
			"WEBVTT\n"},
		{"a day of messages", "POST", "/v1/messageevent.export", `{"date":"` + time.Now().UTC().Format(time.DateOnly) + `"}`, nil, 200,
			`"eventType":"sent"`},
		{"a SCIM page", "GET", "/scim/v2/Users?startIndex=251&count=10", "", nil, 200, `"itemsPerPage":3`},
		{"a SCIM user", "GET", "/scim/v2/Users/U-" + id("user", 9), "", nil, 200, `"userName":"user009@example.com"`},
		{"a SCIM user deleted", "DELETE", "/scim/v2/Users/U-" + id("user", 9), "", nil, 204, ``},
		{"the deleted SCIM user", "GET", "/scim/v2/Users/U-" + id("user", 9), "", nil, 200, `"active":false`},
		{"the deleted user on v1", "GET", "/v1/user.info?id=U-" + id("user", 9), "", nil, 404, `"user_not_found"`},
		{"no such SCIM user", "GET", "/scim/v2/Users/U-0", "", nil, 404, `"detail"`},
		{"meetings of a day", "GET", "/v1/meeting.list?after=2026-01-05&before=2026-01-06", "", nil, 200, `"meetings":[{`},
		{"a bad date", "GET", "/v1/recording.list?after=yesterday", "", nil, 400, `"invalid_date"`},
		{"a bad cursor", "GET", "/v1/user.list?cursor=x", "", nil, 400, `"invalid_cursor"`},
		{"an unknown method", "GET", "/v1/future.thing", "", nil, 404, `{"error":"unknown_method","ok":false}`},
		{"the wrong verb", "GET", "/v1/chat.post", "", nil, 405, `"method_not_allowed"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := call(t, rt, tt.method, tt.target, tt.body, tt.header...)
			if res.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %.300s\nwant %d with %s", res.StatusCode, body, tt.status, tt.want)
			}
		})
	}
}

func TestAfterReversesTheOrder(t *testing.T) {
	rt := unmetered().Transport()
	first := func(target string) string {
		_, body := call(t, rt, "GET", target+"limit=1", "")
		var page struct {
			Meetings    []struct{ Start string }
			Transcripts []struct{ Start string }
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, m := range append(page.Meetings, page.Transcripts...) {
			return m.Start
		}
		return ""
	}
	oldest, newest := stamp(newMeeting(0).Start), stamp(newMeeting(239).Start)
	for target, want := range map[string]string{
		"/v1/transcript.list?":                  newest,
		"/v1/transcript.list?after=2026-01-01&": oldest,
		"/v1/meeting.list?after=2026-01-01&":    newest,
		"/v0/meeting.list?after=2026-01-01&":    oldest,
	} {
		t.Run(target, func(t *testing.T) {
			if got := first(target); got != want {
				t.Errorf("it begins with %s, want %s", got, want)
			}
		})
	}
}

func TestSpendTakesTokensOfTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		roam := New(Options{})
		if got := roam.Spend(12); got != 10 {
			t.Errorf("12 foreign calls: %d were let through, want 10", got)
		}
		if res, _ := call(t, roam.Transport(), "GET", "/v1/groups.list", ""); res.StatusCode != 429 {
			t.Errorf("our call: %d, want 429", res.StatusCode)
		}
		roam.Limit(5, 20)
		if got := fmt.Sprint(roam.Tokens()); got != "20" {
			t.Errorf("after a new limit %s tokens, want 20", got)
		}
	})
}
