package limiter

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// testBucket holds for every Bucket of 1 call a second and 3 at once that starts full. advance lets its time pass. A bucket whose
// clock is not the test's own may be this much ahead of what is wanted, but for what was told before.
func testBucket(t *testing.T, b Bucket, advance func(time.Duration), ahead time.Duration) {
	take := func(want time.Duration) {
		t.Helper()
		if got := b.Take(time.Now()); got > want || got < want-ahead {
			t.Errorf("the wait is %v, want %v", got, want)
		}
	}
	level := func(want float64) {
		t.Helper()
		if got := b.Level(time.Now()); got < want-1e-6 || got > want+ahead.Seconds()+1e-6 {
			t.Errorf("the level is %v, want %v", got, want)
		}
	}
	if is := b.Limits(time.Now()); is != (Limits{1, 3}) || b.Paid() != is {
		t.Errorf("limits are %v of the %v that are paid for, want 1 and 3", is, b.Paid())
	}
	level(3)
	for range 3 {
		take(0)
	}
	take(time.Second) // a refusal costs nothing, so it may be asked as often as one likes
	take(time.Second)
	advance(400 * time.Millisecond)
	take(600 * time.Millisecond)
	advance(600 * time.Millisecond)
	take(0)
	b.Return(time.Now())
	take(0)
	advance(time.Hour)
	level(3)
	b.Learn(Learned{Rate: 0.5, Burst: 2, Left: 0.5, At: time.Now()})
	if is := b.Limits(time.Now()); !near(is.Rate, 0.5) || !near(is.Burst, 2) || b.Learned().Left != 0.5 || b.Paid() != (Limits{1, 3}) {
		t.Errorf("limits are %v of the %v that are paid for, want the half of 1 that was learned, and 2 of 3", is, b.Paid())
	}
	level(2)
	take(0)
	take(0)
	take(2 * time.Second)
	b.Learn(Learned{})
	if is := b.Limits(time.Now()); is != b.Paid() || b.Learned() != (Learned{}) {
		t.Errorf("limits are %v once what was learned is forgotten, want the %v that are paid for", is, b.Paid())
	}
	take(time.Second)
	b.Drain(time.Now())
	level(0)
	take(time.Second)
}

func TestLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := NewLocal(1, 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		testBucket(t, b, time.Sleep, 0)
	})
}

// Seen to fail with the jitter not held back.
func TestJitterHoldsBackItsShareOfTheBurst(t *testing.T) {
	for _, tt := range []struct {
		rate, burst float64
		jitter      time.Duration
		want        float64
	}{{1, 10, 200 * time.Millisecond, 9.8}, {40, 10, 10 * time.Millisecond, 9.6}, {1, 1, 0, 1}} {
		b, err := NewLocal(tt.rate, tt.burst, tt.jitter)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Limits(time.Now()).Burst; got < tt.want-1e-9 || got > tt.want+1e-9 {
			t.Errorf("%v at once with %v of jitter leave %v, want %v", tt.burst, tt.jitter, got, tt.want)
		}
	}
	if _, err := NewLocal(1, 1, 100*time.Millisecond); err == nil {
		t.Error("a jitter that leaves less than one call was taken")
	}
}

// Whatever is asked when, no stretch of time sees more calls than burst + rate × its length, and who waits as long as he was
// told gets a token.
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
			wait := b.Take(now)
			if wait > 0 {
				now = now.Add(wait)
				if again := b.Take(now); again > time.Microsecond {
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
		if wait := bucket.Take(now); wait != 0 {
			b.Fatal(fmt.Sprint(wait))
		}
	}
}
