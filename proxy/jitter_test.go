package proxy

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/roamtest"
)

// delayTransport delays each call by a random time below most.
type delayTransport struct {
	next http.RoundTripper
	most time.Duration

	mu     sync.Mutex
	random *rand.Rand
}

func (d *delayTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	late := time.Duration(d.random.Int64N(int64(d.most)))
	d.mu.Unlock()
	arrived := make(chan struct{})
	time.AfterFunc(late, func() { close(arrived) })
	<-arrived
	return d.next.RoundTrip(r)
}

// The part of the burst that is held back for jitter, configured or measured, is needed, is enough, and costs nothing of the rate.
func TestJitterOfTheNetwork(t *testing.T) {
	const most = 200 * time.Millisecond
	const measureNothing = time.Second // so much is held back already that nothing measured exceeds it
	for _, tt := range []struct {
		name             string
		held, configured time.Duration // held back by the bucket, and configured for the queue
		refused          bool
	}{
		{"set", most, measureNothing, false},
		{"measured", 0, 0, false},
		{"neither", 0, measureNothing, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused, rate := 0, 1.0
			for seed := range uint64(5) {
				synctest.Test(t, func(t *testing.T) {
					roam := roamtest.New(roamtest.Options{RetryAfter: time.Second})
					network := &delayTransport{next: roam.Transport(), most: most, random: rand.New(rand.NewPCG(seed, 1))}
					h := newHarness(t, roam, network, func(p *setup) { p.jitter, p.queue.Jitter = tt.held, tt.configured })
					h.keepBusy(t, 15, 10*time.Minute) // more calls than the quota allows
					refused += roam.Refused()
					steady := roam.Journal()[20:]
					took := steady[len(steady)-1].Time.Sub(steady[0].Time)
					rate = min(rate, float64(len(steady)-1)/took.Seconds())
				})
			}
			if (refused > 0) != tt.refused {
				t.Errorf("Roam refused %d calls, want some = %v", refused, tt.refused)
			}
			if !tt.refused && rate < 0.99 {
				t.Errorf("%.4f calls a second, want at least 0.99", rate)
			}
		})
	}
}

// keepBusy has so many tools call one after the other for a time.
func (h *harness) keepBusy(t *testing.T, tools int, lasts time.Duration) {
	end := time.Now().Add(lasts)
	var callers sync.WaitGroup
	for range tools {
		callers.Go(func() {
			for time.Now().Before(end) {
				h.post(t.Context())
			}
		})
	}
	callers.Wait()
}
