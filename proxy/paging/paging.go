// Package paging answers requests for pages of a list from wide pages in the cache.
//
// A tool that reads a list in pages of ten spends a call on every ten items. If a rule has a page_size, roamproxy requests pages of that
// size from Roam, and caches them like other answers. The tool gets its pages of ten out of them:
//
//	tool     limit=10                  limit=10&cursor=rp1.…(a, 10)        limit=10&cursor=a
//	           │                             │                                │
//	cache    limit=100 ────────────────► the same, offset 10             limit=100&cursor=a
//	           │ miss                        │ hit                            │ miss
//	Roam     100 items, nextCursor=a         ·                           100 items, nextCursor=b
//
// At the end of a wide page the tool gets Roam's own cursor. If a page has left the cache in the middle of a walk, roamproxy requests it
// again with the same cursor.
package paging

import (
	"net/http"
	"strings"

	"roamproxy/cache"
)

// Request is a tool's request for a list.
type Request struct {
	HTTP     *http.Request                              // of the tool; it is not changed
	List     string                                     // names the list and the credential
	PageSize int                                        // items of a wide page
	Ask      func(*http.Request) (*cache.Answer, error) // returns the answer to a request from the cache or from Roam
}

// Part is a part of a list.
type Part struct {
	*cache.Answer
	Saved bool // it was cut out of a cached wide page, which saved a call
}

// Pages answers requests from wide pages, and remembers which lists have any. The zero Pages is ready. It is safe for concurrent use.
type Pages struct{ shapes shapes }

// Answer returns the part of a list that a request asks for. It returns nil if wide pages do not apply: the request is for no list, or for
// pages that are as large. The error is an *Error, or that of Ask.
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

// Error is a mistake in a request that Roam would report in the same way.
type Error struct{ code, sentence string }

func (e *Error) Error() string { return e.sentence }

// Body returns the body of the answer, in the form of the API version of route.
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
