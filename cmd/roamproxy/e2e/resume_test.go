package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/metrics/status"
	"roamproxy/proxy/roamtest"
)

// A pause of an hour is ended by hand. The refused call is sent again at once and answered.
func TestAPauseIsEndedByHand(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "admin-token")
	os.WriteFile(secret, []byte("let-me\n"), 0o600)
	r, roam := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
		c.Admin.TokenFile = secret
		c.Quotas[0].MaxPause = config.Duration(time.Hour)
		c.Quotas = append(c.Quotas, c.Quotas[0])
		c.Quotas[1].Name = "other"
	})
	roam.Script(roamtest.Throttle("3600"))
	c := client(t)
	type result struct {
		Resumed []string
		Open    []string `json:"not_paused"`
	}
	ask := func(path, origin, token string) (int, result) {
		req, _ := http.NewRequest("POST", "http://"+r.AdminAddr+path, nil)
		req.Header.Set(status.ActionHeader, "yes")
		req.Header.Set("Authorization", "Bearer "+token)
		if origin != "" {
			req.Header.Set("Origin", origin)
			req.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer result
		json.NewDecoder(res.Body).Decode(&answer)
		return res.StatusCode, answer
	}
	answered := make(chan int)
	go func() { answered <- post(c, "http://"+r.Addr) }()
	eventually(t, "the pause", func() bool { return r.QueueState("roam").Paused })
	for _, tt := range []struct {
		name, path, origin, token string
		want                      int
		resumed, open             []string
	}{
		{"without the token", "/api/resume", "", "guess", 401, nil, nil},
		{"from another site's page", "/api/resume", "https://evil.example", "let-me", 403, nil, nil},
		{"an unknown quota", "/api/resume?quota=nobody", "", "let-me", 404, []string{}, []string{}},
		{"a quota that is not paused", "/api/resume?quota=other", "", "let-me", 200, []string{}, []string{"other"}},
		{"all", "/api/resume", "", "let-me", 200, []string{"roam"}, []string{"other"}},
	} {
		if !r.QueueState("roam").Paused { // only the last row ends it
			t.Errorf("%s: the pause is over already", tt.name)
		}
		status, got := ask(tt.path, tt.origin, tt.token)
		if status != tt.want || !slices.Equal(got.Resumed, tt.resumed) || !slices.Equal(got.Open, tt.open) {
			t.Errorf("%s: %d, resumed %v, not paused %v; want %d, %v, %v", tt.name, status, got.Resumed, got.Open, tt.want, tt.resumed, tt.open)
		}
	}
	if got := <-answered; got != 200 {
		t.Errorf("the queued call was answered %d, want 200", got)
	}
	if got := len(roam.Journal()); got != 2 {
		t.Errorf("Roam saw %d calls, want 2: the refused one and its probe", got)
	}
}

// The adaptive limit is reset by hand, also for the next start.
func TestTheAdaptiveLimitIsResetByHand(t *testing.T) {
	dir := t.TempDir()
	with := func(c *config.Config) { c.StateDir = dir }
	r, roam := servertest.Start(t, roamtest.Options{}, io.Discard, with)
	roam.Script(roamtest.Throttle("3600"))
	c := client(t)
	answered := make(chan int)
	go func() { answered <- post(c, "http://"+r.Addr) }()
	eventually(t, "the pause", func() bool { return r.QueueState("roam").Paused })
	if s := r.QueueState("roam"); s.Rate >= s.Configured.Rate || s.Burst >= s.Configured.Burst {
		t.Fatalf("after a 429 the rate is %v and the burst %v, want less than configured: %+v", s.Rate, s.Burst, s.Configured)
	}
	ask := func(query string) int {
		req, _ := http.NewRequest("POST", "http://"+r.AdminAddr+"/api/resume"+query, nil)
		req.Header.Set(status.ActionHeader, "yes")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		t.Logf("%s: %d %s", query, res.StatusCode, body)
		return res.StatusCode
	}
	if got := ask("?forget=everything"); got != 400 || !r.QueueState("roam").Paused {
		t.Errorf("forget=everything: %d, want 400, and the pause in force", got)
	}
	if got := ask("?forget=limit&quota=roam"); got != 200 {
		t.Errorf("forget=limit: %d, want 200", got)
	}
	if got := <-answered; got != 200 {
		t.Errorf("the queued call was answered %d, want 200", got)
	}
	if s := r.QueueState("roam"); s.Rate != s.Configured.Rate || s.Burst != s.Configured.Burst {
		t.Errorf("after the reset the rate is %v and the burst %v, want what is configured: %+v", s.Rate, s.Burst, s.Configured)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "quota-roam.state"))
	if err != nil || len(kept) == 0 || bytes.Contains(kept, []byte("learned")) {
		t.Errorf("the state file says %q (%v), want no adaptive limit", kept, err)
	}
}
