package paging

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"roamproxy/cache"
	"roamproxy/proxy/httpbody"
)

// defaultLimit is the limit of a request without one. It is Roam's default for nearly every list, and never more than that.
const defaultLimit = 10

// walk is a parsed request for a part of a list.
type walk struct {
	Request
	query []string // all parameters but limit and cursor, as the tool sent them
	limit int      // of the tool
	at    place
}

// newWalk parses a request. It returns nil if wide pages do not apply.
func newWalk(r Request) (*walk, error) {
	k := &walk{Request: r, limit: defaultLimit}
	var limits, cursors []string
	usable := true
	for p := range cache.Parameters(r.HTTP.URL.RawQuery) {
		switch {
		case p.Name == "limit":
			limits = append(limits, p.Value)
		case p.Name == "cursor":
			cursors = append(cursors, p.Value)
			usable = usable && p.Valid
		case p.Raw != "":
			k.query = append(k.query, p.Raw)
		}
	}
	if len(limits) > 0 {
		n, err := strconv.Atoi(limits[0])
		usable = usable && err == nil && n > 0 && len(limits) == 1
		k.limit = n
	}
	switch ours := slices.ContainsFunc(cursors, func(c string) bool { return strings.HasPrefix(c, cursorPrefix) }); {
	case ours && len(cursors) > 1:
		return nil, errCursor
	case ours && !usable:
		return nil, errLimit
	case ours:
		var ok bool
		if k.at, ok = readPlace(cursors[0], k.name()); !ok {
			return nil, errCursor
		}
	case !usable || len(cursors) > 1 || k.limit >= k.PageSize:
		return nil, nil
	case len(cursors) == 1:
		k.at.cursor = cursors[0]
	}
	return k, nil
}

// name returns what identifies the walk: list and parameters. The order of different parameters does not matter.
func (w *walk) name() string {
	query := slices.Clone(w.query)
	slices.SortStableFunc(query, func(a, b string) int { return strings.Compare(parameterName(a), parameterName(b)) })
	return w.List + "?" + strings.Join(query, "&")
}

func parameterName(raw string) string {
	name, _, _ := strings.Cut(raw, "=")
	return name
}

// request returns the request to Roam for a page of this size from a cursor on. The answer must be complete and not compressed, because
// roamproxy reads and cuts it. So the request is a GET even if the tool sent HEAD.
func (w *walk) request(limit int, cursor string) *http.Request {
	query := append(slices.Clone(w.query), "limit="+strconv.Itoa(limit))
	if cursor != "" {
		query = append(query, "cursor="+url.QueryEscape(cursor))
	}
	r, u := *w.HTTP, *w.HTTP.URL
	u.RawQuery, r.URL, r.Header = strings.Join(query, "&"), &u, w.HTTP.Header.Clone()
	for _, name := range []string{"Accept-Encoding", "Range", "If-Range"} {
		delete(r.Header, name)
	}
	r.Method = http.MethodGet
	return &r
}

// maxPages bounds how many pages are requested for one answer: the one that the cursor names, and the next if that has become shorter. So a
// forged cursor cannot make roamproxy walk through a list.
const maxPages = 2

// findPart finds the part of the list that the tool asked for.
func (p *Pages) findPart(k *walk) (*Part, error) {
	size := k.PageSize
	if p.shapes.of(k.List) == plain { // since this walk began
		size = min(k.limit, k.PageSize)
	}
	at := k.at
	for range maxPages {
		a, err := k.Ask(k.request(size, at.cursor))
		if err != nil {
			return nil, err
		}
		if err := bufferUncached(a); err != nil {
			return nil, err
		}
		pg, ok := asPage(a)
		if !ok || p.canBeWhole(k, pg) {
			if size == k.limit || a.Status != http.StatusOK && a.Status != http.StatusBadRequest {
				return &Part{Answer: a}, nil
			}
			if at != k.at {
				closeStream(a)
				return nil, errCursor
			}
			return p.askPlain(k, a)
		}
		if size == k.PageSize && p.shapes.of(k.List) == unknown {
			p.shapes.learn(k.List, wide)
		}
		if at.offset < len(pg.items) || at.offset == 0 || pg.next == "" {
			return k.part(a, pg, at), nil
		}
		at = place{pg.next, at.offset - len(pg.items)} // the page is shorter than it was
	}
	return nil, errCursor
}

// maxUncached bounds a page that is read only to be cut, and not cached, in bytes.
const maxUncached = 8 << 20

// bufferUncached reads an answer that is not cached into memory. One that is larger than maxUncached is no page, and stays a stream.
func bufferUncached(a *cache.Answer) error {
	if a.Stream == nil || a.Result != cache.Bypass {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(a.Stream, maxUncached+1))
	if err != nil {
		a.Stream.Close()
		return fmt.Errorf("paging: Roam's answer broke off: %w", err)
	}
	if len(body) > maxUncached {
		a.Stream = httpbody.Unread(body, a.Stream, nil)
		return nil
	}
	a.Stream.Close()
	a.Stream, a.Body, a.Length = nil, body, int64(len(body))
	return nil
}

// asPage returns the page in an answer, and whether there is one.
func asPage(a *cache.Answer) (page, bool) {
	if a.Status != http.StatusOK || a.Stream != nil || a.Header["Content-Encoding"] != nil {
		return page{}, false
	}
	return parsePage(a.Body)
}

// canBeWhole reports whether an answer without nextCursor may be a list that has no pages. A tool that expects no pages would take the
// first ten items for all.
func (p *Pages) canBeWhole(k *walk, pg page) bool {
	return pg.nextAt == (span{}) && k.at == (place{}) && len(pg.items) > k.limit && p.shapes.of(k.List) != wide
}

// askPlain sends the request as the tool made it, after a wide request returned no page, and learns the shape of the list. A tool in the
// middle of a wide page must begin again, because Roam no longer returns that page.
func (p *Pages) askPlain(k *walk, refused *cache.Answer) (*Part, error) {
	closeStream(refused)
	a, err := k.Ask(k.request(k.limit, k.at.cursor))
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK { // the refusal was not about the size
		return &Part{Answer: a}, nil
	}
	is := plain
	if pg, ok := asPage(a); ok && refused.Status == http.StatusOK && pg.next != "" && refused.Stream == nil {
		is = wide // there are pages after all
	}
	p.shapes.learn(k.List, is)
	if k.at.offset > 0 {
		closeStream(a)
		return nil, errCursor
	}
	return &Part{Answer: a}, nil
}

func closeStream(a *cache.Answer) {
	if a.Stream != nil {
		a.Stream.Close()
	}
}

// part returns the part of a page that the tool asked for.
func (w *walk) part(a *cache.Answer, pg page, at place) *Part {
	from := min(at.offset, len(pg.items))
	to, next := len(pg.items), ""
	if from+w.limit < to {
		to = from + w.limit
		next = place{at.cursor, to}.encode(w.name())
	}
	saved := from > 0 && (a.Result == cache.Hit || a.Result == cache.Shared)
	if from == 0 && next == "" {
		return &Part{a, saved}
	}
	part := *a
	part.Body = pg.cut(from, to, next)
	part.Header = make(http.Header, len(a.Header))
	for name, values := range a.Header {
		switch name {
		case "Last-Modified", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Accept-Ranges": // they describe the whole page
		default:
			part.Header[name] = values
		}
	}
	part.Header["Etag"] = []string{cache.Tag(part.Body)}
	part.Header["Content-Length"] = []string{strconv.Itoa(len(part.Body))}
	part.Length = int64(len(part.Body))
	return &Part{&part, saved}
}
