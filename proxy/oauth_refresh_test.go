package proxy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// Seen to fail with a refresh for each call.
func TestConcurrentCallsShareOneRefresh(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
		f.postAtOnce(t, 50, 200)
		f.expectRefreshes(t, "50 at once", 1, 1)
		again := f.newSource(t, f.first)
		if s, err := again.Secret(t.Context()); err != nil || s.Reveal() != f.source.Last().Reveal() {
			t.Errorf("after a restart: %v, and another token = %v; want the stored one", err, s.Reveal() != f.source.Last().Reveal())
		}
		f.expectRefreshes(t, "after a restart", 1, 1)
	})
	if info, err := os.Stat(filepath.Join(dir, "oauth-alice.json")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the kept grant: %v (%v), want mode 0600", info, err)
	}
}

// In three weeks with a call every 15 minutes no call is refused, and there is no refresh that is not needed.
func TestTokensAreRefreshedBeforeTheyExpire(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
		for start := time.Now(); time.Since(start) < 21*day; time.Sleep(15 * time.Minute) {
			if got := f.post(t.Context()); got != 200 || f.Problems()["alice"] != nil {
				t.Fatalf("after %v: %d, %v; want 200 and no problem", time.Since(start), got, f.Problems())
			}
		}
		f.expectRefreshes(t, "after three weeks", 4, 4)
		for _, c := range f.roam.Journal() {
			if c.Status != 200 {
				t.Errorf("Roam answered %d, want 200", c.Status)
			}
		}
	})
}

// Sources that got their tokens at the same time refresh them at different times.
func TestRefreshesAreSpread(t *testing.T) {
	moments := map[time.Duration]bool{}
	for range 5 {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := newOAuthHarness(t, roamtest.OAuthOptions{Lifetime: 10 * time.Hour}, dir, nil)
			start := time.Now()
			for calls := 0; calls < 2; calls, _ = f.server.Asked() {
				f.post(t.Context())
				time.Sleep(time.Minute)
			}
			at := time.Since(start).Truncate(time.Minute)
			moments[at] = true
			if at < 9*time.Hour || at > 9*time.Hour+31*time.Minute {
				t.Errorf("a token of ten hours was replaced after %v, want the tenth hour's first half", at)
			}
		})
	}
	if len(moments) < 2 {
		t.Errorf("all were replaced after %v, want different times", moments)
	}
}

// While the token endpoint fails, the old token is used until it expires, and the endpoint gets few requests.
func TestTheOldTokenIsUsedWhileTheTokenEndpointFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{Lifetime: 10 * time.Hour}, dir, nil)
		f.post(t.Context())
		for range 10_000 {
			f.server.Fail(503)
		}
		for start := time.Now(); time.Since(start) < 10*time.Hour-time.Minute; time.Sleep(10 * time.Second) {
			if got := f.post(t.Context()); got != 200 || f.Problems()["alice"] != nil {
				t.Fatalf("after %v: %d, %v; want 200 and no problem", time.Since(start), got, f.Problems())
			}
		}
		time.Sleep(time.Minute)
		before, _ := f.server.Asked()
		var out strings.Builder
		for range 600 {
			w := f.do(t.Context(), "POST", "/v1/chat.post", "{}")
			fmt.Fprint(&out, w.Body, w.Header(), f.Problems(), f.last().Err)
			time.Sleep(100 * time.Millisecond)
		}
		if asked, _ := f.server.Asked(); asked-before > 3 || asked-before < 2 || f.Problems()["alice"] == nil {
			t.Errorf("in a minute the server was asked %d times, want twice; %v", asked-before, f.Problems())
		}
		for _, secret := range []string{"app-secret", "rmr-", "rma-"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("the reported failure shows %s, want no secret", secret)
			}
		}
	})
}

// Several processes, or configurations of one process, use each refresh token once.
func TestTwoProcessesShareAGrant(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{Lifetime: time.Hour}, dir, nil)
		all := []*credential.OAuth{f.source, f.newSource(t, f.first), f.newSource(t, f.first)}
		for range 30 {
			var asking sync.WaitGroup
			for _, s := range all {
				asking.Go(func() {
					if _, err := s.Secret(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			asking.Wait()
			time.Sleep(10 * time.Minute)
		}
		if calls, rotated := f.server.Asked(); calls != rotated || rotated > 7 {
			t.Errorf("in five hours %d refreshes of %d succeeded, want all of about six", rotated, calls)
		}
	})
}
