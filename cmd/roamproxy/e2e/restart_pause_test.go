package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"roamproxy/metrics/status"
	"roamproxy/proxy/roamtest"
)

// quota is what the process tells of its only one.
func (s *spawned) quota(t *testing.T, c *http.Client) status.QuotaStatus {
	t.Helper()
	_, body := get(t, c, s.admin+"/api/status")
	var now status.Status
	if err := json.Unmarshal([]byte(body), &now); err != nil || len(now.Quotas) != 1 {
		t.Fatalf("status: %v %s", err, body)
	}
	return now.Quotas[0]
}

// Killed in a pause, roamproxy knows afterwards what Roam asked for, what it learned from that, and that nothing is left.
func TestKilledInAPauseItKnowsAllOfIt(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	state, c := t.TempDir(), client(t)
	first := launch(t, roam.URL, state)
	floods(t, c, first.base, 3)
	roam.Script(roamtest.Throttle("45"))
	refused := make(chan int)
	go func() { refused <- post(c, first.base) }()
	told, before := time.Now(), first.quota(t, c)
	for deadline := time.Now().Add(10 * time.Second); !before.Paused && time.Now().Before(deadline); {
		told, before = time.Now(), first.quota(t, c)
	}
	if !before.Paused || before.Rate >= before.Configured || before.Tokens > 2 {
		t.Fatalf("after a 429: %+v, want a pause, an empty bucket and a rate below what is configured", before)
	}
	first.Process.Kill()
	first.Wait()
	if got := <-refused; got != 0 {
		t.Errorf("the call that waited was answered %d, want a connection that ends", got)
	}
	sent := roam.Calls()

	second := launch(t, roam.URL, state)
	after := second.quota(t, c)
	passed := time.Since(told).Seconds()
	if !after.Paused || after.PausedFor > before.PausedFor || after.PausedFor < before.PausedFor-passed {
		t.Errorf("paused for %v s and, %v s later, %v (%v)", before.PausedFor, passed, after.PausedFor, after.Paused)
	}
	if after.Rate < before.Rate || after.Rate > before.Rate*(1+passed/100) || after.Configured != before.Configured {
		t.Errorf("a rate of %v of %v became %v of %v in %v s", before.Rate, before.Configured, after.Rate, after.Configured, passed)
	}
	if after.Tokens < before.Tokens || after.Tokens > before.Tokens+before.Configured*passed {
		t.Errorf("%v tokens became %v in %v s", before.Tokens, after.Tokens, passed)
	}
	res, _ := get(t, c, second.base+"/v1/user.list", "Prefer", "wait=1")
	if res.StatusCode != 429 || res.Header.Get("Roamproxy-Error") != "paused" {
		t.Errorf("a call in the pause: %d %s, want 429 paused", res.StatusCode, res.Header.Get("Roamproxy-Error"))
	}
	if roam.Calls() != sent {
		t.Errorf("Roam saw %d calls in the pause", roam.Calls()-sent)
	}
	second.Process.Kill()
	second.Wait()
}
