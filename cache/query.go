package cache

import (
	"iter"
	"net/url"
	"strings"
)

// Parameter is one part of a query, between two ampersands.
type Parameter struct {
	Raw         string // as it is written
	Name, Value string // unescaped; as they are written where that cannot be
	Valid       bool   // both could be unescaped
}

// Parameters yields the parts of a query, in their order, the empty ones too. It is the only reader of queries: what a rule, a wide page
// and a cache key see of one is the same.
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
