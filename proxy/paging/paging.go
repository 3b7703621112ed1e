// Package paging hands out lists in the tool's own pages, cut out of wide ones.
//
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
package paging

import (
	"net/http"
	"strings"

	"roamproxy/cache"
)

// Request is a tool's request for a list.
type Request struct {
	HTTP     *http.Request // the tool's; it is not changed
	List     string        // which list it is, under which credential
	PageSize int           // items that Roam is asked for at a time
	Ask      func(*http.Request) (*cache.Answer, error)
}

// Part is a part of a list.
type Part struct {
	*cache.Answer
	Saved bool // it was cut out of a page that was there: a call that only the page saved
}

// Pages answers requests out of wide pages, and remembers which lists have any. The zero Pages is ready. It is safe for concurrent use.
type Pages struct{ shapes shapes }

// Answer returns the part of a list that a request asks for; nil: it is no walk through one, or its own pages are as large. The error
// is an *Error, or that of Ask.
func (p *Pages) Answer(r Request) (*Part, error) {
	k, err := newWalk(r)
	if k == nil || err != nil {
		return nil, err
	}
	if k.at.offset == 0 && (r.HTTP.Header["Range"] != nil || p.shapes.of(r.List) == plain) {
		return nil, nil
	}
	return p.findPart(k)
}

// Error is a mistake of the tool's that Roam itself would report.
type Error struct{ code, sentence string }

func (e *Error) Error() string { return e.sentence }

// Body is how Roam says it, on this version of its API.
func (e *Error) Body(route string) map[string]any {
	if strings.HasPrefix(route, "/v1/") {
		return map[string]any{"ok": false, "error": e.code}
	}
	return map[string]any{"error": e.sentence}
}

var (
	errCursor = &Error{"invalid_cursor", "The cursor is invalid."}
	errLimit  = &Error{"invalid_limit", "The limit is invalid."}
)
