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

// delayTransport is a network on which each call takes a random part of most to arrive.
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

// What the bucket holds back for jitter is enough and costs nothing of the rate, whether it was set or was measured on the way.
//
// Seen to fail with nothing held back.
func TestJitterOfTheNetwork(t *testing.T) {
	const most, lasts = 200 * time.Millisecond, 10 * time.Minute
	for _, tt := range []struct {
		name   string
		jitter time.Duration
	}{
		{"set", most},
		{"measured", 0},
	} {
		refused, rate := 0, 1.0
		for seed := range uint64(5) {
			synctest.Test(t, func(t *testing.T) {
				roam := roamtest.New(roamtest.Options{RetryAfter: time.Second})
				network := &delayTransport{next: roam.Transport(), most: most, random: rand.New(rand.NewPCG(seed, 1))}
				h := newHarness(t, roam, network, func(p *setup) { p.jitter = tt.jitter })
				end := time.Now().Add(lasts)
				var tools sync.WaitGroup
				for range 15 { // always more than the quota
					tools.Go(func() {
						for time.Now().Before(end) {
							h.post(t.Context())
						}
					})
				}
				tools.Wait()
				refused += roam.Refused()
				journal := roam.Journal()
				steady := journal[20:]
				took := steady[len(steady)-1].Time.Sub(steady[0].Time)
				rate = min(rate, float64(len(steady)-1)/took.Seconds())
			})
		}
		if refused > 0 {
			t.Errorf("%s: Roam refused %d calls, want none", tt.name, refused)
		}
		if rate < 0.99 {
			t.Errorf("%s: %.4f calls a second, want at least 0.99", tt.name, rate)
		}
	}
}
