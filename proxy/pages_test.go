package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"roamproxy/cache"
	"roamproxy/proxy/roamtest"
)

// wideBy configures wide pages of this size for every list.
func wideBy(size int) func(*setup) {
	return func(p *setup) {
		p.proxy.Tables.Rules = []Rule{{Match: "GET /v*/*.list", PageSize: new(size), TTL: new(time.Minute), Stale: new(time.Minute)}}
	}
}

// list is a list as a tool reads it: the items of each page, and nextCursor of the last page as it is written.
type list struct {
	pages [][]string
	end   string
}

func (l list) items() []string { return slices.Concat(l.pages...) }

// readList reads a list page by page with get, until there is no cursor. between is called after every page but the last.
func readList(get func(target string) (int, string), target string, between func()) (list, error) {
	var l list
	cursor := ""
	for range 1000 {
		at := target
		if cursor != "" {
			at += "&cursor=" + cursor
		}
		code, body := get(at)
		if code != 200 {
			return l, fmt.Errorf("%s: %d %s", at, code, body)
		}
		var answer map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return l, fmt.Errorf("%s: %w in %s", at, err, body)
		}
		var page []json.RawMessage
		for name, value := range answer {
			if value[0] == '[' && name != "nextCursor" {
				json.Unmarshal(value, &page)
			}
		}
		texts := []string{}
		for _, item := range page {
			texts = append(texts, string(item))
		}
		l.pages, l.end, cursor = append(l.pages, texts), string(answer["nextCursor"]), ""
		json.Unmarshal(answer["nextCursor"], &cursor)
		if cursor == "" {
			return l, nil
		}
		between()
	}
	return l, fmt.Errorf("%s has no end", target)
}

func (h *harness) get(t testing.TB) func(string) (int, string) {
	return func(target string) (int, string) {
		w := h.do(t.Context(), "GET", target, "")
		return w.Code, w.Body.String()
	}
}

func TestAWalkOf253UsersByTensIsThreeCalls(t *testing.T) {
	for _, version := range []string{"v1", "v0"} {
		inBubble(t, version, func(t *testing.T) {
			h := newHarness(t, roamtest.New(roamtest.Options{}), nil, wideBy(100)) // with Roam's real quota, and no call has to wait
			plain := newHarness(t, unmeteredRoam(), nil, unmetered)
			got, err := readList(h.get(t), "/"+version+"/user.list?limit=10", func() {})
			want, err2 := readList(plain.get(t), "/"+version+"/user.list?limit=10", func() {})
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if !slices.Equal(got.items(), want.items()) || len(want.items()) != 253 || got.end != want.end {
				t.Errorf("%d items, want %d and the same", len(got.items()), len(want.items()))
			}
			if h.roam.Calls() != 3 || plain.roam.Calls() != 26 {
				t.Errorf("%d calls, want 3; %d directly, want 26", h.roam.Calls(), plain.roam.Calls())
			}
			saved := 0
			for _, report := range h.reports {
				if report.Paged {
					saved++
				}
			}
			if saved != 23 {
				t.Errorf("%d of %d answers count as saved by a page, want 23", saved, len(h.reports))
			}
			if got, err := readList(h.get(t), "/"+version+"/user.list?", func() {}); err != nil || h.roam.Calls() != 3 || len(got.pages[0]) != 10 {
				t.Errorf("a walk without a limit has pages of %d after %d calls (%v), want 10 and no more calls", len(got.pages[0]),
					h.roam.Calls(), err)
			}
		})
	}
}

// A list that is cut from wide pages is the same for a tool as Roam's own, for all sizes, also if entries are removed while it is
// read.
func TestAListCutFromWidePagesIsRoamsList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := roamtest.Options{
			Rate: 1e6, Burst: 1e6, Users: rapid.IntRange(1, 60).Draw(rt, "users"),
			End:      rapid.SampledFrom([]roamtest.End{roamtest.Absent, roamtest.Null, roamtest.Empty}).Draw(rt, "end"),
			MaxLimit: rapid.SampledFrom([]int{0, 0, 0, 8}).Draw(rt, "largest limit"),
		}
		limit := rapid.IntRange(1, 8).Draw(rt, "limit")
		target := fmt.Sprintf("/%s/user.list?a=%%20&limit=%d&expand=x", rapid.SampledFrom([]string{"v0", "v1"}).Draw(rt, "version"), limit)
		h := newHarness(t, roamtest.New(o), nil, unmetered, wideBy(rapid.IntRange(1, 25).Draw(rt, "page size")))
		plain := newHarness(t, roamtest.New(o), nil, unmetered)
		want, err := readList(plain.get(t), target, func() {})
		if err != nil {
			rt.Fatal(err)
		}
		for walk := range 2 {
			got, err := readList(h.get(t), target, func() {
				if rapid.IntRange(0, 3).Draw(rt, "pushed out") == 0 {
					h.Purge("/v*/*")
				}
			})
			if err != nil {
				rt.Fatal(err)
			}
			if !slices.Equal(got.items(), want.items()) {
				rt.Fatalf("walk %d: %d items %v\nwant %d %v", walk, len(got.items()), got.pages, len(want.items()), want.pages)
			}
			if got.end != want.end {
				rt.Fatalf("walk %d: the end is %q, want %q", walk, got.end, want.end)
			}
			for _, page := range got.pages {
				if len(page) > limit {
					rt.Fatalf("walk %d: a page of %d, want at most %d", walk, len(page), limit)
				}
			}
		}
	})
}

// scripted returns a harness with wide pages of 4, whose upstream answers from a table by target, and the targets that it was asked for.
func scripted(t *testing.T, table map[string]string) (*harness, *[]string) {
	var asked []string
	e := &recordingUpstream{}
	e.answer = func(r *http.Request) (*http.Response, error) {
		asked = append(asked, e.uri)
		body, ok := table[e.uri]
		switch {
		case !ok:
			return reply(r, 404, `{"ok":false}`), nil
		case strings.HasPrefix(body, "400"):
			return reply(r, 400, `{"ok":false,"error":"invalid_limit"}`), nil
		}
		return reply(r, 200, body, "Last-Modified", "Mon, 05 Jan 2026 09:00:00 GMT"), nil
	}
	return newHarness(t, nil, e, unmetered, wideBy(4)), &asked
}

func TestListsOfOtherShapesPassUnchanged(t *testing.T) {
	for _, tt := range []struct {
		name  string
		table map[string]string
		want  string // the answer to limit=2, twice
		asked []string
	}{
		{"a bare array", map[string]string{"/v1/x.list?limit=4": `[1,2,3]`, "/v1/x.list?limit=2": `[1,2,3]`}, `[1,2,3]`,
			[]string{"/v1/x.list?limit=4", "/v1/x.list?limit=2"}},
		{"two arrays", map[string]string{"/v1/x.list?limit=4": `{"a":[1,2,3],"b":[],"nextCursor":""}`,
			"/v1/x.list?limit=2": `{"a":[1,2],"b":[]}`}, `{"a":[1,2],"b":[]}`, []string{"/v1/x.list?limit=4", "/v1/x.list?limit=2"}},
		{"a cursor that is a number", map[string]string{"/v1/x.list?limit=4": `{"a":[1,2,3],"nextCursor":3}`,
			"/v1/x.list?limit=2": `{"a":[1,2],"nextCursor":2}`}, `{"a":[1,2],"nextCursor":2}`, []string{"/v1/x.list?limit=4", "/v1/x.list?limit=2"}},
		{"no pages at all", map[string]string{"/v1/x.list?limit=4": `{"a":[1,2,3]}`, "/v1/x.list?limit=2": `{"a":[1,2,3]}`}, `{"a":[1,2,3]}`,
			[]string{"/v1/x.list?limit=4", "/v1/x.list?limit=2"}},
		{"pages, of which the first says nothing", map[string]string{"/v1/x.list?limit=4": `{"a":[1,2,3]}`,
			"/v1/x.list?limit=2": `{"a":[1,2],"nextCursor":"2"}`}, `{"a":[1,2],"nextCursor":"2"}`,
			[]string{"/v1/x.list?limit=4", "/v1/x.list?limit=2"}},
		{"one page", map[string]string{"/v1/x.list?limit=4": `{"a":[1,2]}`}, `{"a":[1,2]}`, []string{"/v1/x.list?limit=4"}},
		{"a limit that is refused", map[string]string{"/v1/x.list?limit=4": "400", "/v1/x.list?limit=2": `{"a":[1,2],"nextCursor":"2"}`},
			`{"a":[1,2],"nextCursor":"2"}`, []string{"/v1/x.list?limit=4", "/v1/x.list?limit=2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, asked := scripted(t, tt.table)
			for i := range 2 {
				if w := h.do(t.Context(), "GET", "/v1/x.list?limit=2", ""); w.Code != 200 || i == 0 && w.Body.String() != tt.want {
					t.Errorf("%d %s, want %s", w.Code, w.Body, tt.want)
				}
			}
			if !slices.Equal(*asked, tt.asked) {
				t.Errorf("Roam was asked %v, want %v", *asked, tt.asked)
			}
		})
	}
}

// If a list changes while it is read and its wide page was removed, the tool misses no item and gets none twice, or an error.
func TestAListThatChangesWhileItIsReadLosesNoItem(t *testing.T) {
	before := map[string]string{"/v1/x.list?limit=4": `{"a":[1,2,3,4],"nextCursor":"4"}`, "/v1/x.list?limit=4&cursor=4": `{"a":[5,6]}`}
	for _, tt := range []struct {
		name  string
		after map[string]string
		want  []string
	}{
		{"the same", before, []string{"[1]", "[2]", "[3]", "[4]", "[5]", "[6]"}},
		{"its pages became shorter", map[string]string{
			"/v1/x.list?limit=4": `{"a":[1,2],"nextCursor":"2"}`, "/v1/x.list?limit=4&cursor=2": `{"a":[3,4],"nextCursor":"4"}`,
			"/v1/x.list?limit=4&cursor=4": `{"a":[5,6]}`,
		}, []string{"[1]", "[2]", "[3]", "[4]", "[5]", "[6]"}},
		{"the size is refused", map[string]string{
			"/v1/x.list?limit=4": "400", "/v1/x.list?limit=1": `{"a":[1],"nextCursor":"1"}`,
			"/v1/x.list?limit=1&cursor=1": `{"a":[2],"nextCursor":"2"}`,
			"/v1/x.list?limit=1&cursor=2": `{"a":[3],"nextCursor":"3"}`, "/v1/x.list?limit=1&cursor=3": `{"a":[4]}`,
		}, []string{"[1]", "[2]", "400 invalid_cursor"}},
		{"its pages became much shorter", map[string]string{
			"/v1/x.list?limit=4": `{"a":[1],"nextCursor":"1"}`, "/v1/x.list?limit=4&cursor=1": `{"a":[2],"nextCursor":"2"}`,
			"/v1/x.list?limit=4&cursor=2": `{"a":[3]}`,
		}, []string{"[1]", "[2]", "400 invalid_cursor"}},
		{"what was there is gone", map[string]string{"/v1/x.list?limit=4": `{"a":[1]}`}, []string{"[1]", "[2]", "[]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := maps.Clone(before)
			h, _ := scripted(t, table)
			n := 0
			got, err := readList(h.get(t), "/v1/x.list?limit=1", func() {
				if n++; n == 2 {
					clear(table)
					maps.Copy(table, tt.after)
					h.Purge("/v1/*")
				}
			})
			pages := []string{}
			for _, page := range got.pages {
				pages = append(pages, "["+strings.Join(page, ",")+"]")
			}
			if err != nil && strings.Contains(err.Error(), `400 {"error":"invalid_cursor"`) {
				pages, err = append(pages, "400 invalid_cursor"), nil
			}
			if err != nil || !slices.Equal(pages, tt.want) {
				t.Errorf("%v (%v), want %v", pages, err, tt.want)
			}
		})
	}
}

// forgedCursor returns a cursor for a position in the first wide page of a walk: the checksum of walk and position, and the position.
func forgedCursor(offset int, walk string) string {
	at := binary.AppendUvarint(nil, uint64(offset))
	sum := sha256.Sum256(append(append(binary.AppendUvarint(nil, uint64(len(walk))), walk...), at...))
	return "rp1." + base64.RawURLEncoding.EncodeToString(append(sum[:8], at...))
}

// A tool can forge a cursor, because its check sum is no secret. That costs two calls at most.
//
// Seen to fail with pages read until the list ends.
func TestAForgedCursorIsTwoCalls(t *testing.T) {
	for _, limit := range []int{1, 3, 100} {
		for _, offset := range []int{1, 9, 100, 1 << 20} {
			for _, users := range []int{3, 500} {
				for _, method := range []string{"GET", "HEAD"} {
					t.Run(fmt.Sprintf("%s of %d from %d of %d", method, limit, offset, users), func(t *testing.T) {
						roam := roamtest.New(roamtest.Options{Rate: 1e6, Burst: 1e6, Users: users})
						h := newHarness(t, roam, nil, unmetered, wideBy(4))
						forged := forgedCursor(offset, "org /v1/user.list?")
						if w := h.do(t.Context(), method, fmt.Sprintf("/v1/user.list?limit=%d&cursor=%s", limit, forged), ""); roam.Calls() > 2 {
							t.Errorf("%d calls, answered %d; want at most 2 calls", roam.Calls(), w.Code)
						}
					})
				}
			}
		}
	}
}

func TestARefusedPageSizeIsRememberedForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, asked := scripted(t, map[string]string{"/v1/x.list?limit=4": "400", "/v1/x.list?limit=2": `{"a":[1,2],"nextCursor":"2"}`})
		for _, step := range []struct {
			after time.Duration
			calls int
		}{{0, 2}, {2 * time.Hour, 4}, {30 * time.Minute, 5}, {2 * time.Hour, 7}} {
			time.Sleep(step.after)
			h.do(t.Context(), "GET", "/v1/x.list?limit=2", "")
			if len(*asked) != step.calls {
				t.Errorf("%v later: %d calls, want %d", step.after, len(*asked), step.calls)
			}
		}
	})
}

func TestWhichRequestsAreAnsweredFromAWidePage(t *testing.T) {
	wide := map[string]string{
		"/v1/x.list?limit=4":                   ` {"ok":true, "a":[1, {"b":2.50} ,"\u00e9",4],"nextCursor" : "c&d" ,"total":1e3}`,
		"/v1/x.list?limit=4&cursor=c%26d":      `{"nextCursor":"","a":[]}`,
		"/v1/x.list?z=1&y=%20&limit=4":         `{"a":[1,2,3,4],"nextCursor":"4"}`,
		"/v1/x.list?limit=9":                   `{"a":[1,2,3,4,5],"nextCursor":"9"}`,
		"/v1/x.list?limit=0":                   "400",
		"/v1/x.list?limit=2&limit=3":           "400",
		"/v1/x.list?limit=2&cursor=a&cursor=b": "400",
	}
	h, asked := scripted(t, wide)
	next := func(body string) string {
		var answer struct{ NextCursor string }
		json.Unmarshal([]byte(body), &answer)
		return answer.NextCursor
	}
	first := h.do(t.Context(), "GET", "/v1/x.list?limit=2", "")
	if want := fmt.Sprintf(` {"ok":true, "a":[1, {"b":2.50}],"nextCursor" : %q ,"total":1e3}`,
		next(first.Body.String())); first.Body.String() != want {
		t.Errorf("the first two: %s, want %s", first.Body, want)
	}
	ours := next(first.Body.String())
	other := forgedCursor(2, "org /v1/y.list?")
	for _, tt := range []struct {
		name, target string
		status       int
		want         string
		calls        int
	}{
		{"the next two, with their bytes", "/v1/x.list?limit=2&cursor=" + ours, 200,
			` {"ok":true, "a":["\u00e9",4],"nextCursor" : "c&d" ,"total":1e3}`, 0},
		{"all that is left of the page, for a larger limit", "/v1/x.list?limit=50&cursor=" + ours, 200,
			` {"ok":true, "a":["\u00e9",4],"nextCursor" : "c&d" ,"total":1e3}`, 0},
		{"the last page, which is empty", "/v1/x.list?limit=2&cursor=c%26d", 200, `{"nextCursor":"","a":[]}`, 1},
		{"other parameters are part of the walk", "/v1/x.list?z=1&limit=3&y=%20", 200, `{"a":[1,2,3],"nextCursor":`, 1},
		{"a limit above the page's", "/v1/x.list?limit=9", 200, `{"a":[1,2,3,4,5],"nextCursor":"9"}`, 1},
		{"a limit that Roam is to refuse", "/v1/x.list?limit=0", 400, `{"ok":false,"error":"invalid_limit"}`, 1},
		{"two limits", "/v1/x.list?limit=2&limit=3", 400, `{"ok":false,"error":"invalid_limit"}`, 1},
		{"two cursors", "/v1/x.list?limit=2&cursor=a&cursor=b", 400, `{"ok":false,"error":"invalid_limit"}`, 1},
		{"a cursor of roamproxy with a bad limit", "/v1/x.list?limit=0&cursor=" + ours, 400, `{"error":"invalid_limit","ok":false}` + "\n", 0},
		{"a cursor of roamproxy among two", "/v1/x.list?cursor=a&cursor=" + ours, 400, `{"error":"invalid_cursor","ok":false}` + "\n", 0},
		{"a cursor of another walk", "/v1/x.list?limit=2&cursor=" + other, 400, `{"error":"invalid_cursor","ok":false}` + "\n", 0},
		{"a cursor that was made up", "/v1/x.list?cursor=rp1.AAAA", 400, `{"error":"invalid_cursor","ok":false}` + "\n", 0},
		{"one on the other version", "/v0/x.list?cursor=rp1.AAAA", 400, `{"error":"The cursor is invalid."}` + "\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(*asked)
			w := h.do(t.Context(), "GET", tt.target, "")
			if w.Code != tt.status || !strings.HasPrefix(w.Body.String(), tt.want) || len(*asked)-before != tt.calls {
				t.Errorf("%d %s after %d calls, want %d %s after %d", w.Code, w.Body, len(*asked)-before, tt.status, tt.want, tt.calls)
			}
		})
	}
	if w := h.do(t.Context(), "GET", "/v1/x.list?limit=2&cursor="+ours, "", "Cache-Control", "no-store"); w.Code != 200 ||
		!strings.Contains(w.Body.String(), `["\u00e9",4]`) || w.Header().Get("Cache-Status") != "roamproxy; fwd=bypass" {
		t.Errorf("a part that must not be cached: %d %s %v, want the part by a bypass", w.Code, w.Body, w.Header())
	}
	second := h.do(t.Context(), "GET", "/v1/x.list?limit=2&cursor="+ours, "")
	before := len(*asked)
	if w := h.do(t.Context(), "HEAD", "/v1/x.list?limit=2&cursor="+ours, ""); w.Code != 200 ||
		w.Header().Get("Etag") != second.Header().Get("Etag") || w.Body.Len() > 0 {
		t.Errorf("the HEAD of a part: %d %v %s, want 200 with its tag and no body", w.Code, w.Header(), w.Body)
	}
	if w := h.do(t.Context(), "GET", "/v1/x.list?limit=2&cursor="+ours, "", "Range", "bytes=0-1", "If-Range",
		second.Header().Get("Etag")); w.Code != 200 || w.Body.String() != second.Body.String() {
		t.Errorf("a range of a part: %d %s, want all of it", w.Code, w.Body)
	}
	if len(*asked) != before {
		t.Errorf("for HEAD and range of a cached part Roam was asked %v, want no call", (*asked)[before:])
	}
	if tag := second.Header().Get("Etag"); tag == first.Header().Get("Etag") || tag != cache.Tag(second.Body.Bytes()) ||
		second.Header().Get("Last-Modified") != "" {
		t.Errorf("the fields of a part: %v, want a tag of its own and no Last-Modified", second.Header())
	}
	if w := h.do(t.Context(), "GET", "/v1/x.list?limit=2&cursor="+ours, "", "If-None-Match", second.Header().Get("Etag")); w.Code != 304 {
		t.Errorf("a part that the tool has: %d, want 304", w.Code)
	}
}
