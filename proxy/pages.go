package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"roamproxy/cache"
)

// A tool that walks a list by tens spends a call on every ten items. Where a rule has a page_size, Roam is asked for pages of
// that size, which are kept like any other answer, and the tool gets its tens out of them:
//
//	tool     limit=10                  limit=10&cursor=rp1.…(a, 10)        limit=10&cursor=a
//	           │                             │                                │
//	cache    limit=100 ────────────────► the same, offset 10             limit=100&cursor=a
//	           │ miss                        │ hit                            │ miss
//	Roam     100 items, nextCursor=a         ·                           100 items, nextCursor=b
//
// At the end of a wide page the tool gets Roam's own cursor. A page that was dropped or pushed out in the middle of a walk is
// asked for again by the same cursor.

// usualLimit is how many items a tool gets that names no limit: Roam's default for nearly every list, and never more than it.
const usualLimit = 10

// errCursor and errLimit are told as Roam would.
var (
	errCursor = &roamError{"invalid_cursor", "The cursor is invalid."}
	errLimit  = &roamError{"invalid_limit", "The limit is invalid."}
)

// roamError is a mistake of the tool's that Roam itself would tell.
type roamError struct{ code, sentence string }

func (e *roamError) Error() string { return e.sentence }

// body is how Roam says it, on this version of its API.
func (e *roamError) body(route string) map[string]any {
	if strings.HasPrefix(route, "/v1/") {
		return map[string]any{"ok": false, "error": e.code}
	}
	return map[string]any{"error": e.sentence}
}

// walk is a tool's request for a part of a list.
type walk struct {
	v     *request
	list  string   // the list, to remember its shape by
	query []string // the parameters that are neither limit nor cursor, as the tool wrote them
	limit int      // of the tool
	at    place
	wide  int
}

// paged answers a request out of wide pages. What is no walk, or has limits of its own that are as large, is left alone.
func (p *Proxy) paged(v *request) (done bool) {
	if v.rule.PageSize <= 0 || !v.rule.Keeps() || v.Method != http.MethodGet && v.Method != http.MethodHead {
		return false
	}
	walk, alone, err := newWalk(v)
	if err != nil {
		p.fail(v, err)
		return true
	}
	if alone || walk.at.offset == 0 && (v.r.Header["Range"] != nil || p.shapes.of(walk.list) == plain) {
		return false
	}
	a, err := p.walk(walk)
	if err != nil {
		p.fail(v, err)
		return true
	}
	p.give(v, a)
	return true
}

// newWalk reads a request. It is alone when there is nothing to be done about it.
func newWalk(v *request) (_ *walk, alone bool, err error) {
	k := &walk{v: v, list: v.upstream.name + " " + v.Route, limit: usualLimit, wide: v.rule.PageSize}
	limits, cursors := []string{}, []string{}
	for pair := range strings.SplitSeq(v.r.URL.RawQuery, "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		switch {
		case err == nil && err2 == nil && name == "limit":
			limits = append(limits, value)
		case err == nil && err2 == nil && name == "cursor":
			cursors = append(cursors, value)
		case pair != "":
			k.query = append(k.query, pair)
		}
	}
	ours := slices.ContainsFunc(cursors, func(c string) bool { return strings.HasPrefix(c, cursorPrefix) })
	usable := len(limits) <= 1
	if len(limits) == 1 {
		k.limit, err = strconv.Atoi(limits[0])
		usable = err == nil && k.limit > 0
	}
	switch {
	case ours && len(cursors) > 1:
		return nil, false, errCursor
	case ours && !usable:
		return nil, false, errLimit
	case ours:
		var ok bool
		if k.at, ok = readPlace(cursors[0], k.name()); !ok {
			return nil, false, errCursor
		}
	case !usable || len(cursors) > 1 || k.limit >= k.wide:
		return nil, true, nil
	case len(cursors) == 1:
		k.at.cursor = cursors[0]
	}
	return k, false, nil
}

// name says which walk it is. The order of different parameters does not matter.
func (k *walk) name() string {
	query := slices.Clone(k.query)
	slices.SortStableFunc(query, func(a, b string) int { return strings.Compare(parameter(a), parameter(b)) })
	return k.list + "?" + strings.Join(query, "&")
}

func parameter(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	return name
}

// request asks Roam for a page of this size from a cursor on. It wants no encoding, for a page that is to be cut must be read, and
// all of it, even for a HEAD.
func (k *walk) request(limit int, cursor string) *http.Request {
	query := append(slices.Clone(k.query), "limit="+strconv.Itoa(limit))
	if cursor != "" {
		query = append(query, "cursor="+url.QueryEscape(cursor))
	}
	r, u := *k.v.r, *k.v.r.URL
	u.RawQuery, r.URL, r.Header = strings.Join(query, "&"), &u, k.v.r.Header.Clone()
	for _, name := range []string{"Accept-Encoding", "Range", "If-Range"} {
		delete(r.Header, name)
	}
	r.Method = http.MethodGet
	return &r
}

// mostPages bounds how many pages are asked for to answer one request: the one that its cursor names, and the next where that became
// shorter. A cursor can be made up, and must not walk through a list at the expense of everybody's quota.
const mostPages = 2

// walk finds the part of the list that the tool asked for.
func (p *Proxy) walk(k *walk) (*cache.Answer, error) {
	size := k.wide
	if p.shapes.of(k.list) == plain { // since this walk began
		size = min(k.limit, k.wide)
	}
	at := k.at
	for range mostPages {
		a, err := p.ask(k.v, k.request(size, at.cursor), nil)
		if err != nil {
			return nil, err
		}
		if err := whole(a); err != nil {
			return nil, err
		}
		pg, ok := readable(a)
		if !ok || p.perhapsWhole(k, pg) {
			if size == k.limit || a.Status != http.StatusOK && a.Status != http.StatusBadRequest {
				return a, nil
			}
			if at != k.at {
				closeStream(a)
				return nil, errCursor
			}
			return p.asTold(k, a)
		}
		if size == k.wide && p.shapes.of(k.list) == unknown {
			p.shapes.learn(k.list, wide)
		}
		if at.offset < len(pg.items) || at.offset == 0 || pg.next == "" {
			return k.part(a, pg, at), nil
		}
		at = place{pg.next, at.offset - len(pg.items)} // the page is shorter than it was
	}
	return nil, errCursor
}

// wholeSize bounds a page that is read to be cut and not to be kept.
const wholeSize = 8 << 20

// whole reads a page that the tool wants nobody to keep. What is no page of a list may be larger, and stays a stream.
func whole(a *cache.Answer) error {
	if a.Stream == nil || a.Result != cache.Bypass {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(a.Stream, wholeSize+1))
	if err != nil {
		a.Stream.Close()
		return fmt.Errorf("proxy: Roam's answer broke off: %w", err)
	}
	if len(body) > wholeSize {
		a.Stream = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), a.Stream), a.Stream}
		return nil
	}
	a.Stream.Close()
	a.Stream, a.Body, a.Length = nil, body, int64(len(body))
	return nil
}

// readable is the answer as a page, if it is one.
func readable(a *cache.Answer) (page, bool) {
	if a.Status != http.StatusOK || a.Stream != nil || a.Header["Content-Encoding"] != nil {
		return page{}, false
	}
	return parsePage(a.Body)
}

// perhapsWhole tells whether an answer without nextCursor may be of a list that has no pages at all. A tool that does not
// expect any would take the first ten for everything.
func (p *Proxy) perhapsWhole(k *walk, pg page) bool {
	return pg.nextAt == (span{}) && k.at == (place{}) && len(pg.items) > k.limit && p.shapes.of(k.list) != wide
}

// asTold asks as the tool did, after a wide question did not bring a page, and learns from the answer. A tool that stands in the middle of a
// wide page, which Roam will not give any more, has to begin anew.
func (p *Proxy) asTold(k *walk, refused *cache.Answer) (*cache.Answer, error) {
	closeStream(refused)
	a, err := p.ask(k.v, k.request(k.limit, k.at.cursor), nil)
	if err != nil || a.Status != http.StatusOK {
		return a, err // it was not about the size
	}
	is := plain
	if pg, ok := readable(a); ok && refused.Status == http.StatusOK && pg.next != "" && refused.Stream == nil {
		is = wide // there are pages after all
	}
	p.shapes.learn(k.list, is)
	if k.at.offset > 0 {
		closeStream(a)
		return nil, errCursor
	}
	return a, nil
}

func closeStream(a *cache.Answer) {
	if a.Stream != nil {
		a.Stream.Close()
	}
}

// part cuts what the tool gets out of a page.
func (k *walk) part(a *cache.Answer, pg page, at place) *cache.Answer {
	from := min(at.offset, len(pg.items))
	to, next := len(pg.items), ""
	if from+k.limit < to {
		to = from + k.limit
		next = place{at.cursor, to}.encode(k.name())
	}
	k.v.Paged = from > 0 && (a.Result == cache.Hit || a.Result == cache.Shared)
	if from == 0 && next == "" {
		return a
	}
	part := *a
	part.Body = pg.cut(from, to, next)
	part.Header = make(http.Header, len(a.Header))
	for name, values := range a.Header {
		switch name {
		case "Last-Modified", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Accept-Ranges": // these are about the whole
		default:
			part.Header[name] = values
		}
	}
	part.Header["Etag"] = []string{cache.Tag(part.Body)}
	part.Header["Content-Length"] = []string{strconv.Itoa(len(part.Body))}
	part.Length = int64(len(part.Body))
	return &part
}
