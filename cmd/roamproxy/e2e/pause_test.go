package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/metrics/status"
	"roamproxy/proxy/roamtest"
)

// A pause by hand holds calls, is reported as such everywhere, keeps readiness green, and ends by itself.
func TestAPauseByHandIsReportedAndEndsByItself(t *testing.T) {
	var log servertest.Buffer
	r, roam := servertest.Start(t, roamtest.Options{}, &log, nil)
	tools := client(t)
	req, _ := http.NewRequest("POST", "http://"+r.AdminAddr+"/api/pause?max=2s", nil)
	req.Header.Set(status.ActionHeader, "yes")
	res, err := tools.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	answered := make(chan int)
	go func() { answered <- post(tools, "http://"+r.Addr) }()
	eventually(t, "the call is queued", func() bool { return len(r.QueueState("roam").Waiting) == 1 })
	for path, want := range map[string]string{
		"/readyz?verbose": "paused by hand for another", "/api/status": "Quota roam is paused by hand", "/": "paused by hand",
	} {
		if res, body := get(t, tools, "http://"+r.AdminAddr+path); res.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want 200 with %q in\n%s", path, res.StatusCode, want, body)
		}
	}
	if res, body := get(t, tools, "http://"+r.Addr+"/v1/token.info", "Prefer", "wait=0"); res.StatusCode != 429 ||
		res.Header.Get("Roamproxy-Error") != "paused" {
		t.Errorf("a call that does not wait: %d %s, want 429 paused", res.StatusCode, body)
	}
	if got := <-answered; got != 200 || roam.Calls() != 1 || roam.Refused() != 0 {
		t.Errorf("the queued call is answered %d, and Roam saw %d calls and refused %d; want 200, one and none", got, roam.Calls(),
			roam.Refused())
	}
	eventually(t, "the log reports its begin and its end", func() bool {
		return strings.Contains(log.String(), "paused by hand") && strings.Contains(log.String(), "the manual pause has ended")
	})
}
