package cache

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// varying returns an upstream that answers each User-Agent differently.
func varying(vary string) func(int) (*http.Response, error) {
	return func(n int) (*http.Response, error) {
		return response(200, string(rune('0'+n)), "Content-Type", "text/plain", "Vary", vary), nil
	}
}

func TestSection4_1_CalculatingCacheKeysWithVary(t *testing.T) {
	c, r := open(t, Options{}), &roam{answer: varying("user-agent, Accept")}
	for _, step := range []struct {
		name   string
		header []string
		want   string
	}{
		{"one agent", []string{"User-Agent", "a"}, "fwd=uri-miss; stored 1"},
		{"the same again", []string{"User-Agent", " a "}, "hit; ttl=29 1"},
		{"another agent", []string{"User-Agent", "b"}, "fwd=uri-miss; stored 2"},
		{"no agent", nil, "fwd=uri-miss; stored 3"},
		{"an empty one", []string{"User-Agent", ""}, "fwd=uri-miss; stored 4"},
		{"two", []string{"User-Agent", "a", "User-Agent", "b"}, "fwd=uri-miss; stored 5"},
		{"two in one field", []string{"User-Agent", "a, b"}, "hit; ttl=29 5"},
		{"the first again", []string{"User-Agent", "a"}, "hit; ttl=29 1"},
		{"the second again", []string{"User-Agent", "b"}, "hit; ttl=29 2"},
	} {
		if got := ask(t, c, groups(step.header...), r); strings.Replace(got, "ttl=30", "ttl=29", 1) != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	if _, n := c.Size(); n != 5 {
		t.Errorf("%d answers are stored, want 5", n)
	}
	if n := c.Invalidate(func(string) bool { return true }); n != 5 {
		t.Errorf("%d answers were invalidated, want 5", n)
	}
	if got, want := ask(t, c, groups("User-Agent", "a"), r), "fwd=uri-miss; stored 6"; got != want {
		t.Errorf("after the invalidation: %s, want %s", got, want)
	}
}

// Section 4: an answer that is for one request alone is not shared. An answer with Vary is shared by requests with the same fields.
func TestSection4_1_SharingWhatVaries(t *testing.T) {
	for _, tt := range []struct {
		name, control, vary string
		calls               int
	}{
		{"the same for all", "", "", 1},
		{"another for each agent", "", "User-Agent", 2},
		{"another for each request", "", "*", 4},
		{"for no other", "no-store", "", 4},
		{"for that user", "private", "", 4},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{})
			r := &roam{takes: time.Second, answer: func(int) (*http.Response, error) {
				return response(200, "{}", "Vary", tt.vary, "Cache-Control", tt.control), nil
			}}
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					if got := ask(t, c, groups("User-Agent", string(rune('a'+i%2))), r); !strings.HasSuffix(got, " {}") {
						t.Errorf("%s, want the body {}", got)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			if r.calls != tt.calls {
				t.Errorf("%d calls for four requests at once, want %d", r.calls, tt.calls)
			}
		})
	}
}

// For any Vary, two requests share an answer if and only if they select the same variant.
//
// Seen to fail with a key whose parts have no lengths.
func FuzzVary(f *testing.F) {
	f.Add("X-A, X-B", "1", "2", "1", "2")
	f.Add("*", "", "", "", "")
	f.Add("X-A,X-A, ,Accept", "a, b", "", "a", "b")
	f.Add("X-A, X-B", "1\x00", "", "", "\x001")
	f.Add("X-A, X-B", "1X-B+2", "3", "1", "2X-B+3")
	f.Fuzz(func(t *testing.T, vary, a1, b1, a2, b2 string) {
		names, all := varyFields([]string{vary})
		if all {
			return
		}
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("Vary %q names %q: want each once, in order", vary, names)
		}
		one, other := http.Header{"X-A": {a1}, "X-B": {b1}}, http.Header{"X-A": {a2}, "X-B": {b2}}
		if share := variantKey("k", names, one) == variantKey("k", names, other); share != sameVariant(names, one, other) {
			t.Errorf("Vary %q: %q and %q share an answer: %v, want the opposite", vary, one, other, share)
		}
	})
}
