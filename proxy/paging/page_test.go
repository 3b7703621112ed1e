package paging

import (
	"encoding/json"
	"testing"
)

// A part of a page is JSON. It has exactly the requested items, and everything else unchanged.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,3],"nextCursor":"x"}`, `{"nextCursor":null,"a":[]}`, ` { "a" : [ {} , [] ] } `,
		`{"a":[1],"a":[2]}`, `{"a":[1]}x`, `[1]`} {
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, body string, at int) {
		p, ok := parsePage([]byte(body))
		if !ok {
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is a page and no JSON, want JSON", body)
		}
		at = max(min(at, len(p.items)), 0)
		for _, next := range []string{"", "rp1.x"} {
			head, ok := parsePage(p.cut(0, at, next))
			tail, ok2 := parsePage(p.cut(at, len(p.items), ""))
			if !ok || !ok2 || len(head.items) != at || len(head.items)+len(tail.items) != len(p.items) || next != "" && head.next != next ||
				tail.next != p.next {
				t.Errorf("%q is cut into %q and %q, want all items once", body, head.body, tail.body)
			}
			for i, item := range p.items {
				part, j := head, i
				if i >= at {
					part, j = tail, i-at
				}
				if got := part.body[part.items[j].from:part.items[j].to]; string(got) != body[item.from:item.to] {
					t.Errorf("item %d of %q became %q, want it unchanged", i, body, got)
				}
			}
		}
	})
}
