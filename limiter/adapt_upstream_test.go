package limiter_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A flood of 200 calls, which nothing disturbs, takes little longer than the upstream's own limit makes it.
func TestFloodOnEveryUpstream(t *testing.T) {
	each(t, func(t *testing.T, m model, header retryAfter) {
		var row strings.Builder
		for _, c := range tested() {
			var shares, refusals []float64
			for _, seed := range seeds(3) {
				share, refused := flood(t, c, m, header, seed, 0)
				shares, refusals = append(shares, share), append(refusals, float64(refused))
			}
			fmt.Fprintf(&row, "%s %.3f (%.0f refused)  ", c.name, median(shares), median(refusals))
			if c.name == adaptOn && median(shares) < m.flood {
				t.Errorf("200 calls at once reach %.3f of the ideal, want at least %.2f", median(shares), m.flood)
			}
		}
		t.Logf("%-24s %-16s %s", m.name, header, row.String())
	})
}

// A flood is no slower for an earlier one. An hour later the burst is whole again, and so may be too large for the upstream.
func TestFloodAfterAFlood(t *testing.T) {
	each(t, func(t *testing.T, m model, header retryAfter) {
		share, refused := flood(t, limited(true), m, header, 1, 2)
		if t.Logf("%.3f (%d refused)", share, refused); share < m.flood {
			t.Errorf("200 calls at once reach %.3f of the ideal after two such floods, want at least %.2f", share, m.flood)
		}
	})
}

// After another client has taken everything for 30 s, 95 % of the rate is used again within 30 s.
func TestRecoveryAfterTrouble(t *testing.T) {
	each(t, func(t *testing.T, m model, header retryAfter) {
		for _, c := range tested() {
			var minute, minutes, settled []float64
			for _, seed := range seeds(3) {
				r := recovers(t, c, m, header, seed, func(l *lab) { l.trouble(30 * time.Second) })
				minute, minutes, settled = append(minute, r.minute), append(minutes, r.minutes), append(settled, r.settled)
			}
			t.Logf("%-24s %-16s %-9s 95 %% after %3.0f s; used from second 30 on: %.2f in a minute, %.2f in five",
				m.name, header, c.name, median(settled), median(minute), median(minutes))
			if c.name == adaptOn && m.quick && min(median(minute), median(minutes)) < 0.95 {
				t.Errorf("30 s after the trouble %.2f of the rate were used in a minute and %.2f in five, want 0.95", median(minute), median(minutes))
			}
		}
	})
}

// A 429 without a reason costs its pause, and so do some of them.
func TestRefusalsByAccidentCostTheirPauses(t *testing.T) {
	for _, tt := range []struct {
		refusals int
		each     time.Duration
	}{{1, 0}, {3, 11 * time.Second}, {3, 20 * time.Second}, {4, time.Minute}} {
		t.Run(fmt.Sprintf("%d each %v", tt.refusals, tt.each), func(t *testing.T) {
			r := recovers(t, limited(true), models()[0], tenAlways, 1, func(l *lab) {
				for range tt.refusals {
					l.refuseNext()
					time.Sleep(tt.each)
				}
			})
			if t.Logf("%+v", r); r.minute < 0.95 || r.minutes < 0.95 {
				t.Errorf("30 s after the last one %.2f of the rate were used in a minute and %.2f in five, want 0.95", r.minute, r.minutes)
			}
		})
	}
}

// Calls that are in flight for long, although many at once, are not taken for a bound on them.
func TestSlowAnswersAreNotTakenForABound(t *testing.T) {
	for _, latency := range []time.Duration{time.Second, 3 * time.Second} { // each way, so that 2 and 6 calls are in flight
		for _, header := range []retryAfter{trueWait, tenAlways} {
			t.Run(fmt.Sprintf("%v, %s", 2*latency, header), func(t *testing.T) {
				r := recovers(t, limited(true), models()[0], header, 1, func(l *lab) {
					l.slow(latency)
					l.trouble(30 * time.Second)
				})
				if t.Logf("%+v", r); r.minutes < 0.95 {
					t.Errorf("30 s after the trouble %.2f of the rate were used in five minutes, want 0.95", r.minutes)
				}
			})
		}
	}
}

// Beside another client that spends steadily, few calls are refused and little of the rest is left, whatever the rate.
func TestBesideSteadyUse(t *testing.T) {
	const slow = 0.2 // where three quarters leave too few calls an hour for an assertion
	for _, m := range []model{models()[0], bucketOf(slow, 5), bucketOf(10, 100)} {
		for _, share := range []float64{0.25, 0.5, 0.75, 0.9} {
			for _, header := range []retryAfter{trueWait, tenAlways} {
				if m.rate > 0 && (share != 0.5 || header != trueWait) && os.Getenv("SOAK") == "" {
					continue // the other rates once: an hour at ten a second takes long
				}
				t.Run(fmt.Sprintf("%v of %v a second, %s", share, max(m.rate, modelRate), header), func(t *testing.T) {
					u := beside(t, limited(true), m, header, 1, func(ctx context.Context, l *lab) { l.steady(ctx, share) })
					t.Logf("refused %.1f %%, %.1f in the first ten minutes; used %.3f of the rest", 100*u.refused, 100*u.early, u.used)
					if (share < 0.75 || share < 0.9 && m.rate != slow) && (u.refused > 0.02 || u.used < 0.97) {
						t.Errorf("%.1f %% refused and %.3f of the rest used, want at most 2 and at least 0.97", 100*u.refused, u.used)
					}
				})
			}
		}
	}
}

// Beside another client that calls at random moments, alone or in groups, more is refused and less is used. Its groups come too late
// for what a refusal taught, and take what Roam had saved.
func TestBesideRandomUse(t *testing.T) {
	for _, tt := range []struct {
		atOnce  int
		share   float64
		refused float64 // at most
		used    float64 // of the rest, at least
	}{
		{1, 0.25, 0.035, 0.93}, {1, 0.5, 0.055, 0.90}, {1, 0.75, 0.08, 0.86}, {1, 0.9, 0.12, 0.88},
		{5, 0.25, 0.03, 0.93}, {5, 0.5, 0.045, 0.85}, {5, 0.75, 0.065, 0.79}, {5, 0.9, 0.085, 0.76},
		{10, 0.25, 0.02, 0.95}, {10, 0.5, 0.035, 0.88}, {10, 0.75, 0.045, 0.76}, {10, 0.9, 0.055, 0.74},
	} {
		for _, header := range []retryAfter{trueWait, tenAlways} {
			t.Run(fmt.Sprintf("%v of the rate, %d at once, %s", tt.share, tt.atOnce, header), func(t *testing.T) {
				var refused, used []float64
				for _, seed := range seeds(5) {
					u := beside(t, limited(true), models()[0], header, seed, func(ctx context.Context, l *lab) { l.groups(ctx, tt.share, tt.atOnce) })
					refused, used = append(refused, u.refused), append(used, u.used)
				}
				t.Logf("refused %.1f %%; used %.3f of the rest", 100*median(refused), median(used))
				if median(refused) > tt.refused || median(used) < tt.used {
					t.Errorf("%.1f %% refused and %.3f of the rest used, want at most %.1f and at least %.2f",
						100*median(refused), median(used), 100*tt.refused, tt.used)
				}
			})
		}
	}
}

// After longer use by another client, recovery takes no longer than a hold, which is 50 calls at most.
func TestRecoveryAfterLongTrouble(t *testing.T) {
	all := func(lasts time.Duration) func(l *lab) { return func(l *lab) { l.trouble(lasts) } }
	steady := func(share float64) func(l *lab) {
		return func(l *lab) {
			ctx, stop := context.WithTimeout(context.Background(), 20*time.Minute+l.exponential(time.Minute))
			defer stop()
			l.steady(ctx, share)
		}
	}
	for _, tt := range []struct {
		name    string
		trouble func(l *lab)
		most    float64 // seconds
	}{
		{"everything, 1 min", all(time.Minute), 30},
		{"everything, 2 min", all(2 * time.Minute), 30},
		{"everything, 10 min", all(10 * time.Minute), 230},
		{"a quarter, 20 min", steady(0.25), 70},
		{"half, 20 min", steady(0.5), 110},
		{"three quarters, 20 min", steady(0.75), 220},
		{"nine tenths, 20 min", steady(0.9), 230},
	} {
		for _, header := range []retryAfter{trueWait, tenAlways} {
			t.Run(fmt.Sprintf("%s, %s", tt.name, header), func(t *testing.T) {
				var settled []float64
				for _, seed := range seeds(5) {
					settled = append(settled, recovers(t, limited(true), models()[0], header, seed, tt.trouble).settled)
				}
				t.Logf("95 %% after %.0f s, and %.0f at most", median(settled), slices.Max(settled))
				if longest := slices.Max(settled); longest > tt.most {
					t.Errorf("95 %% of the rate were used again after %.0f s, want %.0f at most", longest, tt.most)
				}
			})
		}
	}
}
