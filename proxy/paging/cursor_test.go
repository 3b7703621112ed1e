package paging

import "testing"

func FuzzCursor(f *testing.F) {
	f.Add("rp1.AAAA", "w")
	f.Add(place{"546", 10}.encode("w"), "w")
	f.Add(place{"", 1}.encode(""), "")
	f.Fuzz(func(t *testing.T, cursor, walk string) {
		p, ok := readPlace(cursor, walk)
		if ok && (p.offset < 1 || p.encode(walk) != cursor) {
			t.Errorf("%q is %+v, which is written %q, want the same", cursor, p, p.encode(walk))
		}
		if _, ok := readPlace(cursor, walk+"x"); ok && p.offset > 0 {
			t.Errorf("%q is valid for two walks, want one", cursor)
		}
		made := place{cursor, 1 + len(walk)}
		if back, ok := readPlace(made.encode(walk), walk); !ok || back != made {
			t.Errorf("%+v is decoded as %+v, want the same", made, back)
		}
	})
}
