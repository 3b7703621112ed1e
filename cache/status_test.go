package cache

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Where Roam's headers decide, answers with other statuses than 200 are stored too, if their freshness is explicit (RFC 9111, section 3).
//
// Seen to fail with 200 alone: a tool that asks for a missing object in a loop spent a call each time.
func TestSection3_StatusCodesThatAreStored(t *testing.T) {
	origins, rule := Rule{Origin: true}, Rule{TTL: 30 * time.Second}
	const fresh = "max-age=60"
	for _, tt := range []struct {
		status int
		rule   Rule
		says   string
		stored bool
	}{
		{203, origins, fresh, true}, {301, origins, fresh, true}, {302, origins, fresh, true}, {404, origins, fresh, true},
		{410, origins, fresh, true},
		{404, origins, "", false}, {301, origins, "public", false}, {404, origins, "no-store, max-age=60", false},
		{404, origins, "max-age=0", false},
		{307, origins, fresh, false}, {401, origins, fresh, false}, {429, origins, fresh, false}, {500, origins, fresh, false},
		{204, origins, fresh, false},
		{404, rule, fresh, false}, {301, rule, fresh, false}, {203, rule, fresh, false},
	} {
		inBubble(t, strconv.Itoa(tt.status)+" with "+tt.says, func(t *testing.T) {
			c := open(t, Options{})
			r := &roam{answer: func(int) (*http.Response, error) {
				return response(tt.status, `{"ok":false,"error":"not_found"}`, "Cache-Control", tt.says, "Location", "/elsewhere", "Etag", `"1"`), nil
			}}
			q := groups("If-None-Match", `"1"`)
			q.Rule = tt.rule
			for _, step := range []struct {
				after  time.Duration
				stored bool
			}{{0, false}, {10 * time.Second, tt.stored}, {time.Minute, false}} {
				time.Sleep(step.after)
				a, err := c.Do(t.Context(), q, r)
				if err != nil || a.Status != tt.status || a.Header.Get("Location") != "/elsewhere" || !strings.Contains(string(a.Body), "not_found") {
					t.Fatalf("after %v: %+v (%v), want %d as Roam gave it", step.after, a, err, tt.status)
				}
				if hit := a.Result == Hit; hit != step.stored || a.IsNotModified(q.Request) {
					t.Errorf("after %v: %s, unchanged %v; want a hit = %v, and no 304", step.after, a.CacheStatus(), a.IsNotModified(q.Request),
						step.stored)
				}
			}
			for _, call := range r.asked {
				if call.Conditions != nil {
					t.Errorf("Roam is asked with %v, want no conditions for a status other than 200", call.Conditions)
				}
			}
		})
	}
}

// A web page is not an answer of the API: it comes from an intermediary, such as the sign-in page of a network.
//
// Seen to fail: such a page was the answer for 30 s.
func TestAWebPageIsNotStored(t *testing.T) {
	for kind, stored := range map[string]bool{
		"text/html": false, "Text/HTML; charset=utf-8": false, "application/xhtml+xml": false,
		"application/json": true, "text/vtt": true, "text/plain": true, "": true,
	} {
		t.Run(kind, func(t *testing.T) {
			c := open(t, Options{})
			r := &roam{answer: func(int) (*http.Response, error) { return response(200, `{}`, "Content-Type", kind), nil }}
			if got := ask(t, c, groups(), r); strings.Contains(got, "stored") != stored {
				t.Errorf("%s, want stored = %v", got, stored)
			}
		})
	}
}
