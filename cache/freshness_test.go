package cache

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

func origin() Lookup {
	q := groups()
	q.Rule = Rule{Origin: true, Stale: time.Hour}
	return q
}

func TestSection4_2_1_CalculatingFreshnessLifetime(t *testing.T) {
	const nine, later = "Mon, 05 Jan 2026 09:00:00 GMT", "Mon, 05 Jan 2026 09:00:30 GMT"
	for _, tt := range []struct {
		name   string
		header []string
		want   string
	}{
		{"no header", nil, "fwd=uri-miss {"},
		{"max-age", []string{"Cache-Control", "max-age=60"}, "hit; ttl=60 {"},
		{"s-maxage before max-age", []string{"Cache-Control", "max-age=60, s-maxage=90"}, "hit; ttl=90 {"},
		{"max-age before Expires (section 5.3)", []string{"Cache-Control", "max-age=60", "Date", nine, "Expires", later}, "hit; ttl=60 {"},
		{"Expires", []string{"Date", nine, "Expires", later}, "hit; ttl=30 {"},
		{"Expires without a Date", []string{"Expires", "Sat, 01 Jan 2000 00:00:20 GMT"}, "hit; ttl=20 {"},
		{"Expires in the past", []string{"Date", later, "Expires", nine}, "fwd=uri-miss {"},
		{"Expires that is no date", []string{"Expires", "0"}, "fwd=uri-miss {"},
		{"Expires in the form of RFC 850", []string{"Date", nine, "Expires", "Monday, 05-Jan-26 09:00:30 GMT"}, "hit; ttl=30 {"},
		{"Expires in the form of asctime", []string{"Date", nine, "Expires", "Mon Jan  5 09:00:30 2026"}, "hit; ttl=30 {"},
		{"Expires in small letters (section 4.2)", []string{"Date", nine, "Expires", strings.ToLower(later)}, "hit; ttl=30 {"},
		{"Expires with one digit", []string{"Date", nine, "Expires", "Mon, 05 Jan 2026 9:00:30 GMT"}, "fwd=uri-miss {"},
		{"Expires with one digit of a day", []string{"Date", nine, "Expires", "Mon, 5 Jan 2026 09:00:30 GMT"}, "fwd=uri-miss {"},
		{"Expires with two spaces", []string{"Date", nine, "Expires", "Mon, 05  Jan 2026 09:00:30 GMT"}, "fwd=uri-miss {"},
		{"Expires in another zone", []string{"Date", nine, "Expires", "Mon, 05 Jan 2026 09:00:30 EST"}, "fwd=uri-miss {"},
		{"Expires with an offset", []string{"Date", nine, "Expires", "Mon, 05 Jan 2026 09:00:30 +0000"}, "fwd=uri-miss {"},
		{"Expires with a fraction", []string{"Date", nine, "Expires", "Mon, 05 Jan 2026 09:00:30.5 GMT"}, "fwd=uri-miss {"},
		{"Expires with two dates", []string{"Date", nine, "Expires", later + ", " + later}, "fwd=uri-miss {"},
		{"max-age that is no number", []string{"Cache-Control", "max-age=soon"}, "fwd=uri-miss {"},
		{"no-cache (section 5.2.2.4)", []string{"Cache-Control", "no-cache, max-age=60"}, "fwd=uri-miss {"},
		{"no heuristics from Last-Modified (section 4.2.2)", []string{"Last-Modified", nine}, "fwd=stale; stored {"},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{})
			r := &roam{answer: func(int) (*http.Response, error) { return response(200, `{}`, tt.header...), nil }}
			ask(t, c, origin(), r)
			q := origin()
			q.Rule.Stale = 0
			if got := ask(t, c, q, r); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestSection4_2_3_CalculatingAge(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  string
		want time.Duration
	}{
		{"none", "", 2 * time.Second},
		{"the age that another cache reports", "20", 22 * time.Second},
		{"a list, of which the first counts (section 5.1)", "20, 0", 22 * time.Second},
		{"a list without a space", "20,5", 22 * time.Second},
		{"a list that begins with nonsense", "x, 20", 2 * time.Second},
		{"what is no number", "old", 2 * time.Second},
		{"what is below zero", "-5", 2 * time.Second},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{})
			res := response(200, "{}", "Age", tt.age)
			fill := func(ctx context.Context, _ Call) (*http.Response, error) {
				time.Sleep(50 * time.Second) // in the queue, which does not count as age
				httptrace.ContextClientTrace(ctx).WroteRequest(httptrace.WroteRequestInfo{})
				time.Sleep(2 * time.Second)
				return res, nil
			}
			first, err := c.Do(t.Context(), groups(), fillFunc(fill))
			if err != nil || first.Age != tt.want {
				t.Fatalf("age %v on arrival (%v), want %v", first.Age, err, tt.want)
			}
			time.Sleep(5 * time.Second)
			if a, err := c.Do(t.Context(), groups(), fillFunc(fill)); err != nil || a.Age != tt.want+5*time.Second || a.TTL != 30*time.Second-a.Age {
				t.Errorf("age %v and ttl %v 5 s later, want %v", a.Age, a.TTL, tt.want+5*time.Second)
			}
		})
	}
}

func TestSection4_2_4_ServingStaleResponses(t *testing.T) {
	throttled := func(int) (*http.Response, error) { return nil, errQuota }
	for _, tt := range []struct {
		name    string
		after   time.Duration
		control string // of the first answer
		header  string // of the request
		answer  func(int) (*http.Response, error)
		want    string
	}{
		{"while Roam throttles", 70 * time.Second, "", "", throttled, `hit; ttl=-40; detail=throttled {"ok":true,"call":1}`},
		{"while Roam answers 429", 70 * time.Second, "", "", status(429), `hit; ttl=-40; detail=throttled {"ok":true,"call":1}`},
		{"while Roam fails", 70 * time.Second, "", "", status(503), `hit; ttl=-40; detail=error {"ok":true,"call":1}`},
		{"while Roam is away", 70 * time.Second, "", "", func(int) (*http.Response, error) { return nil, errAway },
			`hit; ttl=-40; detail=error {"ok":true,"call":1}`},
		{"but not for ever", 11 * time.Minute, "", "", throttled, `paused`},
		{"not with no-cache", 70 * time.Second, "", "no-cache", throttled, `paused`},
		{"not with max-age", 70 * time.Second, "", "max-age=90", throttled, `paused`},
		{"with max-stale", 70 * time.Second, "", "max-stale=39, max-age=50", throttled, `paused`},
		{"not when Roam answers 404", 70 * time.Second, "", "", status(404), `fwd=stale {}`},
		{"not with must-revalidate", 70 * time.Second, "must-revalidate", "", throttled, `paused`},
		{"not with proxy-revalidate", 70 * time.Second, "proxy-revalidate", "", throttled, `paused`},
		{"not with s-maxage", 70 * time.Second, "s-maxage=60", "", throttled, `paused`},
		{"not with no-cache", 70 * time.Second, "no-cache", "", throttled, `paused`},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{Throttled: func(err error) bool { return err == errQuota }})
			r := &roam{answer: func(int) (*http.Response, error) {
				return response(200, `{"ok":true,"call":1}`, "Cache-Control", tt.control), nil
			}}
			ask(t, c, groups(), r)
			time.Sleep(tt.after)
			r.answer = tt.answer
			if got := ask(t, c, groups("Cache-Control", tt.header), r); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func status(code int) func(int) (*http.Response, error) {
	return func(int) (*http.Response, error) { return response(code, "{}"), nil }
}

func TestSection5_2_1_RequestDirectives(t *testing.T) {
	for _, tt := range []struct{ name, header, value, want string }{
		{"nothing", "X", "", "hit; ttl=20"},
		{"no-store", "Cache-Control", "no-store", "fwd=bypass"},
		{"no-cache", "Cache-Control", "No-Cache", "fwd=request; stored"},
		{"max-age that it has", "Cache-Control", "max-age=10", "hit; ttl=20"},
		{"max-age that it has not", "Cache-Control", "max-age=9", "fwd=stale; stored"},
		{"max-age that is no number", "Cache-Control", "max-age=soon", "fwd=stale; stored"},
		{"min-fresh that it has", "Cache-Control", "min-fresh=20", "hit; ttl=20"},
		{"min-fresh that it has not", "Cache-Control", "min-fresh=21", "fwd=stale; stored"},
		{"only-if-cached", "Cache-Control", "only-if-cached", "hit; ttl=20"},
		{"only-if-cached and newer", "Cache-Control", "only-if-cached, max-age=1", ErrOnlyIfCached.Error()},
		{"only-if-cached with no-store", "Cache-Control", "only-if-cached, no-store", ErrOnlyIfCached.Error()},
		{"a range (section 3.3)", "Range", "bytes=0-1", "fwd=bypass"},
		{"a state that only Roam knows (section 4.3.2)", "If-Match", `"x"`, "fwd=bypass"},
		{"another such state", "If-Unmodified-Since", "Mon, 05 Jan 2026 09:00:00 GMT", "fwd=bypass"},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c, r := open(t, Options{}), &roam{}
			ask(t, c, groups(), r)
			time.Sleep(10 * time.Second)
			if got := ask(t, c, groups(tt.header, tt.value), r); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestSection5_2_1_2_MaxStale(t *testing.T) {
	for _, tt := range []struct{ name, control, value, want string }{
		{"any", "", "max-stale", "hit; ttl=-40 {"},
		{"as much as it is", "", "max-stale=40", "hit; ttl=-40 {"},
		{"less than it is", "", "max-stale=39", "fwd=stale; stored {"},
		{"any, of what Roam forbids", "must-revalidate", "max-stale", "fwd=stale; stored {"},
		{"any, and only from the cache", "", "max-stale, only-if-cached", "hit; ttl=-40 {"},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{})
			r := &roam{answer: func(int) (*http.Response, error) { return response(200, "{}", "Cache-Control", tt.control), nil }}
			ask(t, c, groups(), r)
			time.Sleep(70 * time.Second)
			if got := ask(t, c, groups("Cache-Control", tt.value), r); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestSection4_HeadIsAnsweredFromAStoredGet(t *testing.T) {
	c, r := open(t, Options{}), &roam{}
	head := groups()
	head.Head = true
	if got := ask(t, c, head, r); strings.Contains(got, "stored") {
		t.Errorf("the answer to a HEAD: %s, want it not stored", got)
	}
	ask(t, c, groups(), r)
	if got := ask(t, c, head, r); !strings.HasPrefix(got, "hit") {
		t.Errorf("a HEAD of a stored GET: %s, want a hit", got)
	}
}
