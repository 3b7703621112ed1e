package limiter

import (
	"testing"
	"time"
)

// Callers that ignore Retry-After do not fill the list with times at which no caller comes: each holds one place, or as many as it makes
// calls in a second.
func TestImpatientCallersHoldOnePlaceEach(t *testing.T) {
	const callers = 12
	for _, tt := range []struct {
		name  string
		every time.Duration // each caller comes again after this, whatever its Retry-After
		want  int           // places at most
	}{
		{"after half a second", 500 * time.Millisecond, 2 * callers},
		{"after a second", early, callers},
		{"after ten seconds", 10 * time.Second, callers},
		{"a crowd at one instant is no such caller", 0, 100 * callers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p promises
			tool, start := Tool{Name: "crawler"}, time.Unix(0, 0)
			for round := range 100 {
				now := start.Add(time.Duration(round) * tt.every)
				for range callers {
					p.keep(now, tool.flow().Name)
					p.add(promise{tool: tool, at: now.Add(time.Hour), made: now})
				}
			}
			if want := min(tt.want, maxPromises); len(p) != want {
				t.Errorf("the list holds %d times, want %d", len(p), want)
			}
		})
	}
}
