package limiter

import (
	"slices"
	"time"
)

// spread is how much the time to the first byte of Roam's answers varies, over the latest calls. The way to Roam is a part of
// that time and so cannot vary by more; Roam's own work is another part, so it may well vary by less.
type spread struct {
	latest [spreadSize]time.Duration
	seen   int
}

// A few minutes of a quota of one call a second, and enough for a hundredth to be more than one call.
const spreadSize = 256

func (s *spread) add(d time.Duration) {
	s.latest[s.seen%spreadSize] = d
	s.seen++
}

// width is from the fastest to the slowest, of which the slowest hundredth is left out; 0 before there are two.
func (s *spread) width() time.Duration {
	n := min(s.seen, spreadSize)
	if n < 2 {
		return 0
	}
	sorted := s.latest
	slices.Sort(sorted[:n])
	return sorted[n-1-n/100] - sorted[0]
}
