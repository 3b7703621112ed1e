package cache

import (
	"iter"
	"net/url"
	"strings"
)

// Parameter is one part of a query, between two ampersands.
type Parameter struct {
	Raw         string // as in the request
	Name, Value string // unescaped, or as in the request where the escapes are invalid
	Valid       bool   // all escapes are valid
}

// Parameters yields the parts of a query in their order, empty ones included. It is the only parser of queries, so that rules, wide
// pages and cache keys read a query in the same way.
func Parameters(rawQuery string) iter.Seq[Parameter] {
	return func(yield func(Parameter) bool) {
		for raw := range strings.SplitSeq(rawQuery, "&") {
			p := Parameter{Raw: raw, Valid: true}
			name, value, _ := strings.Cut(raw, "=")
			p.Name, p.Value = p.unescape(name), p.unescape(value)
			if !yield(p) {
				return
			}
		}
	}
}

func (p *Parameter) unescape(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		p.Valid = false
		return s
	}
	return plain
}
