package limiter

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// take asks for a token within the limits that are configured.
func take(b Bucket) time.Duration { return b.Take(time.Now(), Demand{}) }

// Seen to fail with the jitter not held back.
func TestJitterHoldsBackItsShareOfTheBurst(t *testing.T) {
	for _, tt := range []struct {
		rate, burst float64
		jitter      time.Duration
		want        float64
	}{{1, 10, 200 * time.Millisecond, 9.8}, {40, 10, 10 * time.Millisecond, 9.6}, {1, 1, 0, 1}} {
		t.Run(fmt.Sprint(tt.jitter, " at ", tt.rate, " a second"), func(t *testing.T) {
			b, err := NewLocal(tt.rate, tt.burst, tt.jitter)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Limits().Burst; got < tt.want-1e-9 || got > tt.want+1e-9 {
				t.Errorf("%v at once with %v of jitter leave %v, want %v", tt.burst, tt.jitter, got, tt.want)
			}
		})
	}
	if _, err := NewLocal(1, 1, 100*time.Millisecond); err == nil {
		t.Error("a jitter that leaves less than one call was taken")
	}
}

// In no stretch of time are there more calls than burst + rate × its length, and after the wait that Take returned there is a token.
//
// Seen to fail with a bucket that lends a tenth of a token.
func TestBucketNeverGivesMoreThanIsPaidFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.Float64Range(0.05, 200).Draw(t, "rate"), rapid.Float64Range(1, 20).Draw(t, "burst")
		b, err := NewLocal(rate, burst, 0)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		b.Restore(now, burst)
		var taken []time.Time
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(0, int64(time.Second)), 1, 60).Draw(t, "gaps") {
			now = now.Add(time.Duration(gap))
			wait := b.Take(now, Demand{})
			if wait > 0 {
				now = now.Add(wait)
				if again := b.Take(now, Demand{}); again > time.Microsecond {
					t.Fatalf("after the wait of %v there is another of %v", wait, again)
				} else if again > 0 {
					continue
				}
			}
			taken = append(taken, now)
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := burst + rate*taken[j].Sub(taken[i]).Seconds()
				if float64(j-i+1) > most+1e-3 {
					t.Fatalf("%d calls in %v, paid for %v", j-i+1, taken[j].Sub(taken[i]), most)
				}
			}
		}
	})
}

func BenchmarkBucket(b *testing.B) {
	bucket, err := NewLocal(1, 10, 0)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		if wait := bucket.Take(now, Demand{}); wait != 0 {
			b.Fatal(fmt.Sprint(wait))
		}
	}
}
