package limiter_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A flood of 200 calls, which nobody disturbs, takes little longer than the upstream's own limit makes it.
func TestFloodOnEveryUpstream(t *testing.T) {
	each(t, func(t *testing.T, m model, header retryAfter) {
		var line strings.Builder
		for _, c := range []client{limited(true), limited(false), pacer()} {
			var shares, refusals []float64
			for _, seed := range seeds(2) {
				share, refused := flood(t, c, m, header, seed)
				shares, refusals = append(shares, share), append(refusals, float64(refused))
			}
			share := median(shares)
			fmt.Fprintf(&line, "%s %.3f (%.0f refused)  ", c.name, share, median(refusals))
			if c.name == "adapt on" && share < m.flood {
				t.Errorf("200 calls at once reach %.3f of the ideal, want at least %.2f", share, m.flood)
			}
		}
		t.Logf("%-24s %-16s %s", m.name, header, line.String())
	})
}

// After another client has taken everything for 30 s, the rate is used again.
func TestRecoveryAfterTrouble(t *testing.T) {
	each(t, func(t *testing.T, m model, header retryAfter) {
		for _, c := range []client{limited(true), limited(false), pacer()} {
			var minute, minutes, settled []float64
			for _, seed := range seeds(3) {
				r := recovers(t, c, m, header, seed, func(l *lab) { l.trouble(30 * time.Second) })
				minute, minutes, settled = append(minute, r.minute), append(minutes, r.minutes), append(settled, r.settled)
			}
			t.Logf("%-24s %-16s %-9s 95 %% after %3.0f s; calls a second from second 30 on: %.2f in a minute, %.2f in five",
				m.name, header, c.name, median(settled), median(minute), median(minutes))
			if c.name == "adapt on" && m.quick && min(median(minute), median(minutes)) < 0.95 {
				t.Errorf("30 s after the trouble %.2f calls a second went in a minute and %.2f in five, want 0.95", median(minute), median(minutes))
			}
		}
	})
}

// Beside another client that spends steadily, few calls are refused and little of the rest is left.
func TestBesideSteadyUse(t *testing.T) {
	for _, share := range []float64{0.25, 0.5, 0.75, 0.9} {
		for _, header := range []retryAfter{trueWait, tenAlway} {
			t.Run(fmt.Sprintf("%v of the rate, %s", share, header), func(t *testing.T) {
				for _, seed := range seeds(2) {
					u := beside(t, limited(true), models()[0], header, seed, func(ctx context.Context, l *lab) { l.steady(ctx, share) })
					t.Logf("refused %.1f %%, %.1f in the first ten minutes; used %.3f of the rest", 100*u.refused, 100*u.early, u.used)
					if share < 0.9 && (u.refused > 0.02 || u.used < 0.97) {
						t.Errorf("%.1f %% refused and %.3f of the rest used, want at most 2 and at least 0.97", 100*u.refused, u.used)
					}
				}
			})
		}
	}
}

// What the other client does at random informs only; it takes long, and so wants SOAK.
func TestBesideRandomUse(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("informs only; SOAK=1 runs it")
	}
	for _, atOnce := range []int{1, 5, 10} {
		for _, share := range []float64{0.25, 0.5, 0.75, 0.9} {
			for _, header := range []retryAfter{trueWait, tenAlway} {
				var refused, used []float64
				for _, seed := range seeds(1) {
					u := beside(t, limited(true), models()[0], header, seed, func(ctx context.Context, l *lab) { l.groups(ctx, share, atOnce) })
					refused, used = append(refused, 100*u.refused), append(used, u.used)
				}
				t.Logf("%v of the rate, %d at once, %s: refused %.1f %%, used %.3f of the rest", share, atOnce, header, median(refused), median(used))
			}
		}
	}
}
