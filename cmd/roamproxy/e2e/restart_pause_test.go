package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"roamproxy/metrics/status"
	"roamproxy/proxy/roamtest"
)

// quota returns the status of the only quota.
func (p *process) quota(t *testing.T, c *http.Client) status.QuotaStatus {
	t.Helper()
	_, body := get(t, c, p.admin+"/api/status")
	var now status.Status
	if err := json.Unmarshal([]byte(body), &now); err != nil || len(now.Quotas) != 1 {
		t.Fatalf("status: %v %s", err, body)
	}
	return now.Quotas[0]
}

// roamproxy is killed in a pause. The next process knows how long the pause lasts, the adaptive limit, and that the bucket is empty.
func TestAPauseOutlastsAKill(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	state, c := t.TempDir(), client(t)
	first := launch(t, roam.URL, state)
	floods(t, c, first.base, 3)
	roam.Script(roamtest.Throttle("45"))
	refused := make(chan int)
	go func() { refused <- post(c, first.base) }()
	var asked time.Time
	var before status.QuotaStatus
	eventually(t, "the pause", func() bool {
		asked, before = time.Now(), first.quota(t, c)
		return before.Paused
	})
	if before.Rate >= before.Configured || before.Tokens > 2 {
		t.Fatalf("after a 429: %+v, want an empty bucket and a rate below the configured one", before)
	}
	first.Process.Kill()
	first.Wait()
	if got := <-refused; got != 0 {
		t.Errorf("the queued call was answered %d, want no answer", got)
	}
	sent := roam.Calls()

	second := launch(t, roam.URL, state)
	after := second.quota(t, c)
	passed := time.Since(asked).Seconds()
	if !after.Paused || after.PausedFor > before.PausedFor || after.PausedFor < before.PausedFor-passed {
		t.Errorf("paused for %v s and, %v s later, for %v s (%v); want the rest of the pause", before.PausedFor, passed, after.PausedFor,
			after.Paused)
	}
	if after.Rate < before.Rate || after.Rate > before.Rate*(1+passed/100) || after.Configured != before.Configured {
		t.Errorf("the rate was %v of %v and is %v of %v after %v s, want at most 1 %% a second more", before.Rate, before.Configured, after.Rate,
			after.Configured, passed)
	}
	if after.Tokens < before.Tokens || after.Tokens > before.Tokens+before.Configured*passed {
		t.Errorf("the level was %v and is %v after %v s, want no more than the rate adds", before.Tokens, after.Tokens, passed)
	}
	res, _ := get(t, c, second.base+"/v1/user.list", "Prefer", "wait=1")
	if res.StatusCode != 429 || res.Header.Get("Roamproxy-Error") != "paused" {
		t.Errorf("a call in the pause: %d %s, want 429 paused", res.StatusCode, res.Header.Get("Roamproxy-Error"))
	}
	if roam.Calls() != sent {
		t.Errorf("Roam saw %d calls in the pause, want none", roam.Calls()-sent)
	}
	second.Process.Kill()
	second.Wait()
}
