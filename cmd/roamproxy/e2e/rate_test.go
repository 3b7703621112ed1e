package e2e

import (
	"io"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// late returns by how much the last calls of a journal were later than the first ones, measured by what the rate allows. A machine that
// stands still delays some calls and not the next, so the most punctual of the first twenty and of the last ones count.
func late(journal []roamtest.Call, rate float64, last int) time.Duration {
	lateness := func(from, to int) time.Duration {
		least := time.Hour
		for i := from; i < to; i++ {
			due := time.Duration(float64(i) / rate * float64(time.Second))
			least = min(least, journal[i].Time.Sub(journal[0].Time)-due)
		}
		return least
	}
	return lateness(len(journal)-last, len(journal)) - lateness(0, 20)
}

// The default quota on the real clock. Roam accepts two more calls at once, which may arrive late together.
//
// Seen to fail with a bucket that fills 5 % more slowly.
func TestTwentyTwoWritesTakeTwelveSeconds(t *testing.T) {
	t.Parallel() // it waits most of the time
	r, roam := servertest.Start(t, roamtest.Options{Burst: 12}, io.Discard, func(c *config.Config) { c.Upstream.MaxInFlight = 2 })
	floods(t, client(t), "http://"+r.Addr, 22)
	journal := roam.Journal()
	lateness := time.Hour
	for i := max(len(journal)-4, 0); i < len(journal); i++ { // the most punctual of the last four: a machine that stands still delays some
		lateness = min(lateness, journal[i].Time.Sub(journal[0].Time)-time.Duration(i-9)*time.Second)
	}
	if len(journal) != 22 || roam.Refused() != 0 || lateness > 500*time.Millisecond {
		t.Errorf("Roam saw %d writes and refused %d, and the last ones were %v late; want 22, none, and the jitter of 200 ms",
			len(journal), roam.Refused(), lateness)
	}
}

// Seen to fail with a bucket that fills 2 % more slowly.
func TestTheRateIsUsed(t *testing.T) {
	const rate, calls = 20, 200
	r, roam := servertest.Start(t, lenient(rate), io.Discard, func(c *config.Config) {
		c.Quotas[0].Rate, c.Quotas[0].Burst = rate, 20 // with which a machine that stands still catches up
	})
	c := client(t)
	floods(t, c, "http://"+r.Addr, 10) // opens the connections
	floods(t, c, "http://"+r.Addr, calls)
	after := roam.Journal()[30:] // the burst is gone
	took := time.Duration(len(after)-20) * time.Second / rate
	if lateness := late(after, rate, 20); lateness > took/100 || roam.Refused() != 0 {
		t.Errorf("after %v the calls were %v late, and %d were refused; want at least 99 %% of the rate and none", took, lateness, roam.Refused())
	}
}

// Seen to fail with a state that is not read at the start.
func TestKilledThreeTimesInABurst(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{Burst: 12}) // one call of each process may arrive late
	defer roam.Close()
	state, env := t.TempDir(), inFile(t, "{upstream: {max_in_flight: 1}}")
	c := client(t)
	for _, sent := range []int{8, 2, 2} { // the first of them spends most of the burst
		r := launch(t, roam.URL, state, env)
		var writes sync.WaitGroup
		before := roam.Calls()
		for range 8 {
			writes.Go(func() { post(c, r.base) })
		}
		eventually(t, "this process's calls", func() bool { return roam.Calls() >= before+sent })
		r.kill()
		writes.Wait()
	}
	floods(t, c, launch(t, roam.URL, state, env).base, 3)
	if roam.Refused() != 0 || roam.Calls() < 15 {
		t.Errorf("over three kills Roam saw %d calls and refused %d, want none", roam.Calls(), roam.Refused())
	}
}
