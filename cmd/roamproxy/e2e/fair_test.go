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

// lenient is a Roam that minds no burst, since a busy machine pushes calls together that left apart; what is sent in the long run
// it minds as ever.
func lenient(rate float64) roamtest.Options { return roamtest.Options{Rate: rate, Burst: 100} }

// crowd is roamproxy with tools of these names and weights, and how one of them sends a write. Everything is counted at Roam's end,
// so that a slow machine makes it no less exact; with one call under way at a time they come there in the order in which they left.
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

// came returns once so many calls of a tool wait or have gone.
func came(t *testing.T, r *server.Server, roam *roamtest.Server, tool string, calls int) {
	t.Helper()
	eventually(t, fmt.Sprint(calls, " calls of ", tool), func() bool {
		gone := 0
		for _, call := range roam.Journal() {
			if call.Header.Get("User-Agent") == tool {
				gone++
			}
		}
		return gone+r.QueueState("roam").Waiting[tool] >= calls
	})
}

// sees sends a write of the calm tool, and tells when it was seen to wait in the line: how long it took there is the machine's.
func sees(t *testing.T, r *server.Server, roam *roamtest.Server, write func(ctx context.Context, tool string)) (came time.Time) {
	t.Helper()
	var calm sync.WaitGroup
	calm.Go(func() { write(t.Context(), "calm") })
	sent := func() bool {
		return slices.ContainsFunc(roam.Journal(), func(c roamtest.Call) bool { return c.Header.Get("User-Agent") == "calm" })
	}
	for r.QueueState("roam").Waiting["calm"] == 0 && !sent() {
		<-time.After(time.Millisecond)
	}
	came = time.Now()
	calm.Wait()
	return came
}

func TestACalmToolBesideAFlood(t *testing.T) {
	r, roam, write := crowd(t, 20, map[string]int{"flood": 1, "calm": 1})
	ctx, leave := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for range 200 {
		flood.Go(func() { write(ctx, "flood") })
	}
	came(t, r, roam, "flood", 150)
	since := sees(t, r, roam, write)
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
		t.Errorf("%d calls of the flood went before the calm tool's (which went: %v), and %d were refused; want at most 2 and none", before, calm, roam.Refused())
	}
}

// Seen to fail with a turn that costs nothing.
func TestFairnessOnRealSockets(t *testing.T) {
	r, roam, write := crowd(t, 20, map[string]int{"heavy": 4, "light": 1, "calm": 1})
	ctx, leave := context.WithCancel(t.Context())
	var floods sync.WaitGroup
	for i := range 300 {
		floods.Go(func() { write(ctx, []string{"heavy", "heavy", "light"}[i%3]) })
	}
	came(t, r, roam, "heavy", 190)
	came(t, r, roam, "light", 90)
	from := roam.Calls() // enough of both still wait for what is counted
	since := sees(t, r, roam, write)
	const counted = 100
	eventually(t, "as many calls as are counted", func() bool { return roam.Calls() > from+counted })
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
	// One turn of each, which is four calls of the heavy one, and one call that may have been on its way.
	if before["heavy"] > 5 || before["light"] > 2 {
		t.Errorf("the calm tool's call went background %v, want at most one turn of each", before)
	}
	if got := share["light"]; got < counted/5-1 || got > counted/5+1 {
		t.Errorf("weights 4 and 1 gave %v, want 4 to 1 within one call", share)
	}
	if got := roam.Refused(); got != 0 {
		t.Errorf("Roam refused %d calls, want none", got)
	}
}
