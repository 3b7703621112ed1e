package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// lenient is a Roam that accepts a large burst, because a busy machine pushes calls together that were sent apart. In the long run it
// accepts no more than the rate.
func lenient(rate float64) roamtest.Options { return roamtest.Options{Rate: rate, Burst: 100} }

// crowd is roamproxy with tools of these names and weights, and a function with which one of them writes. All is counted at Roam, so a
// slow machine makes it no less exact. With one call in flight at a time, calls arrive in the order in which they were sent.
func crowd(t *testing.T, rate float64, weights map[string]int) (*server.Server, *roamtest.Server, func(ctx context.Context, tool string)) {
	t.Helper()
	r, roam := servertest.Start(t, lenient(rate), io.Discard, func(c *config.Config) {
		c.Quotas[0].Rate, c.Quotas[0].MaxWait, c.Upstream.MaxInFlight = rate, config.Duration(24*time.Hour), 1
		for name, weight := range weights {
			sum := sha256.Sum256([]byte(name + "-token"))
			c.Tools = append(c.Tools, config.Tool{Name: name, TokenSHA256: []string{hex.EncodeToString(sum[:])}, Weight: weight})
		}
	})
	c := client(t)
	return r, roam, func(ctx context.Context, tool string) {
		req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+r.Addr+"/v1/chat.post", strings.NewReader(`{"chat":"C-1"}`))
		req.Header.Set("Authorization", "Bearer "+tool+"-token")
		req.Header.Set("User-Agent", tool)
		res, err := c.Do(req)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		io.Copy(io.Discard, res.Body)
		if res.Body.Close(); res.StatusCode != 200 {
			t.Errorf("%s: %s", tool, res.Status)
		}
	}
}

// arrived waits until so many calls of a tool are queued or sent.
func arrived(t *testing.T, r *server.Server, roam *roamtest.Server, tool string, calls int) {
	t.Helper()
	eventually(t, fmt.Sprint(calls, " calls of ", tool), func() bool {
		sent := 0
		for _, call := range roam.Journal() {
			if call.Header.Get("User-Agent") == tool {
				sent++
			}
		}
		return sent+r.QueueState("roam").Waiting[tool] >= calls
	})
}

// writeCalm makes a write of the calm tool, waits for its answer, and returns when it was queued. How long it took until then is the
// machine's.
func writeCalm(t *testing.T, r *server.Server, roam *roamtest.Server, write func(ctx context.Context, tool string)) (queued time.Time) {
	t.Helper()
	var calm sync.WaitGroup
	calm.Go(func() { write(t.Context(), "calm") })
	sent := func() bool {
		return slices.ContainsFunc(roam.Journal(), func(c roamtest.Call) bool { return c.Header.Get("User-Agent") == "calm" })
	}
	eventually(t, "the calm tool's call is queued or sent", func() bool { return r.QueueState("roam").Waiting["calm"] > 0 || sent() })
	queued = time.Now()
	calm.Wait()
	return queued
}

func TestACalmToolBesideAFlood(t *testing.T) {
	r, roam, write := crowd(t, 20, map[string]int{"flood": 1, "calm": 1})
	ctx, leave := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for range 200 {
		flood.Go(func() { write(ctx, "flood") })
	}
	arrived(t, r, roam, "flood", 150)
	since := writeCalm(t, r, roam, write)
	leave()
	flood.Wait()
	before, calm := 0, false
	for _, call := range roam.Journal() {
		calm = calm || call.Header.Get("User-Agent") == "calm"
		if !calm && call.Time.After(since) {
			before++
		}
	}
	if before > 2 || !calm || roam.Refused() != 0 {
		t.Errorf("%d calls of the flood were sent before the calm tool's (sent: %v), and %d were refused; want at most 2 and none",
			before, calm, roam.Refused())
	}
}

// Seen to fail with a call that costs no virtual time.
func TestFairnessOnRealSockets(t *testing.T) {
	r, roam, write := crowd(t, 20, map[string]int{"heavy": 4, "light": 1, "calm": 1})
	ctx, leave := context.WithCancel(t.Context())
	var floods sync.WaitGroup
	for i := range 300 {
		floods.Go(func() { write(ctx, []string{"heavy", "heavy", "light"}[i%3]) })
	}
	arrived(t, r, roam, "heavy", 190)
	arrived(t, r, roam, "light", 90)
	from := roam.Calls() // enough of both are still queued for what is counted
	since := writeCalm(t, r, roam, write)
	const counted = 100
	eventually(t, "as many calls as are counted are sent", func() bool { return roam.Calls() > from+counted })
	leave()
	floods.Wait()

	share, before := map[string]int{}, map[string]int{}
	calm := false
	for i, call := range roam.Journal() {
		tool := call.Header.Get("User-Agent")
		calm = calm || tool == "calm"
		if !calm && call.Time.After(since) {
			before[tool]++
		}
		if i >= from && share["heavy"]+share["light"] < counted {
			share[tool]++
		}
	}
	// One call of each by weight, which is four of the heavy tool, and one call that may have been in flight.
	if before["heavy"] > 5 || before["light"] > 2 {
		t.Errorf("before the calm tool's call %v were sent, want at most 5 heavy and 2 light ones", before)
	}
	if got := share["light"]; got < counted/5-1 || got > counted/5+1 {
		t.Errorf("weights 4 and 1 gave %v, want 80 to 20 within one call", share)
	}
	if got := roam.Refused(); got != 0 {
		t.Errorf("Roam refused %d calls, want none", got)
	}
}
