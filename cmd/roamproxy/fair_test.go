package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/proxy/roamtest"
)

// Two floods of writes, of weights 4 and 1, and in the midst of them a calm tool with one call. Everything is counted at Roam's
// end, so that a slow machine makes it no less exact.
func TestFairnessOnRealSockets(t *testing.T) {
	const rate = 40
	names := []string{"heavy", "light", "calm"}
	r, roam := serving(t, roamtest.Options{Rate: rate}, io.Discard, func(c *Config) {
		c.Quotas[0].Rate, c.Quotas[0].Jitter = rate, Duration(220*time.Millisecond) // a busy machine is a bad network
		for i, name := range names {
			sum := sha256.Sum256([]byte(name + "-token"))
			c.Tools = append(c.Tools, Tool{Name: name, TokenSHA256: []string{hex.EncodeToString(sum[:])}, Weight: []int{4, 1, 1}[i]})
		}
	})
	c := client(t)
	write := func(tool string) {
		req, _ := http.NewRequest("POST", "http://"+r.addr+"/v1/chat.post", strings.NewReader(`{"chat":"C-1"}`))
		req.Header.Set("Authorization", "Bearer "+tool+"-token")
		req.Header.Set("User-Agent", tool)
		res, err := c.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, res.Body)
		if res.Body.Close(); res.StatusCode != 200 {
			t.Errorf("%s: %s", tool, res.Status)
		}
	}
	var floods sync.WaitGroup
	for range 150 {
		floods.Go(func() { write("heavy") })
		floods.Go(func() { write("light") })
	}
	queue := r.queues()["roam"]
	for waiting := queue.State().Waiting; waiting["heavy"] < 100 || waiting["light"] < 120; waiting = queue.State().Waiting {
		<-time.After(time.Millisecond)
	}
	came := time.Now()
	write("calm")
	floods.Wait()

	share, before := map[string]int{}, map[string]int{}
	calm := false
	for i, call := range roam.Journal() { // a call that Roam refused has had its turn too
		tool := call.Header.Get("User-Agent")
		calm = calm || tool == "calm"
		if !calm && call.Time.After(came) {
			before[tool]++
		}
		if i >= 40 && i < 140 { // all wait by then, and neither has run out
			share[tool]++
		}
	}
	// One turn of each, which is four calls of the heavy one, and one call that may have been on its way.
	if before["heavy"] > 5 || before["light"] > 2 {
		t.Errorf("the calm tool's call went behind %v, want at most one turn of each", before)
	}
	if got := float64(share["heavy"]) / 100; got < 0.79 || got > 0.81 {
		t.Errorf("weights 4 and 1 gave %v, want 80 to 20", share)
	}
}
