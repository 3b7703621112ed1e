package cache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"roamproxy/proxy/roamtest/usage"
)

// The memory in use for bodies, header fields and keys stays within the bound, for every kind of answer.
//
// Seen to fail with entries whose bookkeeping is not counted.
func TestMemoryInUseStaysWithinTheBound(t *testing.T) {
	const bound = 4 << 20
	for _, tt := range []struct {
		name              string
		body, fields, key int
	}{
		{"many small answers", 50, 2, 40},
		{"answers of some KiB", 5000, 6, 200},
		{"large answers", 200 << 10, 6, 200}, // one that is larger than the overflow may be refused
		{"long header fields", 10, 60, 40},
		{"long keys", 10, 2, 4000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := usage.Heap()
			c := open(t, Options{MaxSize: bound})
			enough := 2*bound/(tt.body+tt.key+80*tt.fields) + 100
			for i := range enough {
				q := groups()
				q.Key = Key(fmt.Sprint(i, strings.Repeat("k", tt.key)))
				fill := func(context.Context, Call) (*http.Response, error) {
					res := response(200, fmt.Sprintf("%0*d", tt.body, i), "Content-Type", "text/plain")
					for f := range tt.fields {
						res.Header.Set(fmt.Sprint("X-", f), strings.Repeat("v", 1+f))
					}
					if i%2 == 0 { // of a length that is not known before
						res.ContentLength, res.TransferEncoding = -1, []string{"chunked"}
						res.Body = io.NopCloser(strings.NewReader(fmt.Sprintf("%0*d", tt.body, i)))
					}
					return res, nil
				}
				if a, err := c.Do(t.Context(), q, fillFunc(fill)); err != nil || !a.Stored {
					t.Fatalf("answer %d is not stored (%v), want it stored", i, err)
				}
			}
			bytes, entries := c.Size()
			held := usage.Heap() - before
			if held > bound || bytes > bound || bytes < bound/2 || held < bytes/3 {
				t.Errorf("%d KiB are held and %d KiB counted in %d entries, want at most %d KiB, and half of it counted", held>>10, bytes>>10,
					entries, bound>>10)
			}
		})
	}
}
