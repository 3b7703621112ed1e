package proxy

import (
	"fmt"
	"net/http"
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

const day = 24 * time.Hour

// oauthHarness is a house whose credential comes from an authorization server.
type oauthHarness struct {
	*harness
	server *roamtest.OAuth
	source *credential.OAuth
	dir    string
	first  string // the refresh token that is configured
}

func granted(t *testing.T, o roamtest.OAuthOptions, dir string, base func(*roamtest.Roam) http.RoundTripper) *oauthHarness {
	roam := roamtest.New(roamtest.Options{Rate: 1000, Burst: 1000, Keys: []string{"none"}})
	f := &oauthHarness{server: roam.NewOAuth(o), dir: dir}
	f.first = f.server.Grant()
	f.source = f.opened(t, f.first)
	var b http.RoundTripper
	if base != nil {
		b = base(roam)
	}
	f.harness = newHarness(t, roam, b, unmetered, func(p *setup) {
		if b == nil {
			p.proxy.Base = roam.Transport()
		}
		p.proxy.Credentials = []Credential{{Name: "alice", Source: f.source, Quota: "roam"}}
	})
	return f
}

// opened is the source of another process.
func (f *oauthHarness) opened(t *testing.T, first string) *credential.OAuth {
	o := credential.OAuthOptions{
		Name: "alice", ClientID: "app", ClientSecret: credential.Key{Value: credential.NewSecret("app-secret")},
		TokenURL: "https://ro.example/oauth/token", Dir: stateDir(t, f.dir), Client: &http.Client{Transport: f.server.Transport()},
	}
	if first != "" {
		o.RefreshToken = credential.Key{Value: credential.NewSecret(first)}
	}
	return credential.NewOAuth(o)
}

func (f *oauthHarness) asked(t *testing.T, when string, calls, rotated int) {
	t.Helper()
	if c, r := f.server.Asked(); c != calls || r != rotated {
		t.Errorf("%s: the token endpoint was asked %d times and gave %d times, want %d and %d", when, c, r, calls, rotated)
	}
}

func (f *oauthHarness) kept() string {
	content, _ := os.ReadFile(filepath.Join(f.dir, "oauth-alice.json"))
	return string(content)
}

// Seen to fail with a refresh for each.
func TestOneRefreshForAll(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{}, dir, nil)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got := f.post(t.Context()); got != 200 {
					t.Errorf("a call is answered %d", got)
				}
			})
		}
		all.Wait()
		f.asked(t, "50 at once", 1, 1)
		again := f.opened(t, f.first)
		if s, err := again.Secret(t.Context()); err != nil || s.Reveal() != f.source.Last().Reveal() {
			t.Errorf("after a restart: %v, and another token than before = %v", err, s.Reveal() != f.source.Last().Reveal())
		}
		f.asked(t, "after a restart", 1, 1)
	})
	if info, err := os.Stat(filepath.Join(dir, "oauth-alice.json")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the kept grant: %v (%v), want mode 0600", info, err)
	}
}

// The new refresh token is on disk before the new access token is used.
func TestAGrantIsKeptBeforeItIsUsed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f *oauthHarness
		f = granted(t, roamtest.OAuthOptions{}, dir, func(roam *roamtest.Roam) http.RoundTripper {
			return roundTrips(func(r *http.Request) (*http.Response, error) {
				if access := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); !strings.Contains(f.kept(), access) {
					t.Error("a call carries a token that is not on disk")
				}
				return roam.Transport().RoundTrip(r)
			})
		})
		for range 30 {
			f.post(t.Context())
			time.Sleep(day)
		}
		if strings.Contains(f.kept(), f.first) {
			t.Error("the spent refresh token is still on disk")
		}
	})
}

// Over three weeks of a call in six hours no call ever waits for a token or is refused, and nobody asks more than is needed.
func TestTokensAreReplacedAheadOfTheirEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{}, dir, nil)
		for start := time.Now(); time.Since(start) < 21*day; time.Sleep(15 * time.Minute) {
			if got := f.post(t.Context()); got != 200 || f.Problems()["alice"] != nil {
				t.Fatalf("after %v: %d, %v", time.Since(start), got, f.Problems())
			}
		}
		f.asked(t, "after three weeks", 4, 4)
		for _, c := range f.roam.Journal() {
			if c.Status != 200 {
				t.Errorf("Roam answered %d", c.Status)
			}
		}
	})
}

// Those that began together do not ask together.
func TestRefreshesAreSpread(t *testing.T) {
	moments := map[time.Duration]bool{}
	for range 5 {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := granted(t, roamtest.OAuthOptions{Lifetime: 10 * time.Hour}, dir, nil)
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
		t.Errorf("all were replaced after %v", moments)
	}
}

func TestADeadGrant(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{}, dir, nil)
		f.server.Revoke()
		for range 600 {
			if w := f.do(t.Context(), "POST", "/v1/chat.post", "{}"); w.Code != 502 || w.Header().Get("Roamproxy-Error") != "credential" {
				t.Fatalf("%d %s, want 502 credential", w.Code, w.Body)
			}
			time.Sleep(time.Second)
		}
		f.asked(t, "ten minutes of calls", 1, 0)
		if f.roam.Calls() != 0 || f.queue.State().Tokens < 1000 {
			t.Errorf("%d calls, %v tokens left; want nothing spent", f.roam.Calls(), f.queue.State().Tokens)
		}
		if err := f.Problems()["alice"]; err == nil || !strings.Contains(err.Error(), "roamproxy login") {
			t.Errorf("the problem: %v, want to be told what to do", err)
		}
		f.login(t)
		time.Sleep(30 * time.Second)
		if got := f.post(t.Context()); got != 200 || f.Problems()["alice"] != nil {
			t.Errorf("after a login: %d, %v", got, f.Problems())
		}
	})
}

// login does what a person does with a browser.
func (f *oauthHarness) login(t *testing.T) {
	t.Helper()
	l, err := credential.NewLogin(t.Context(), credential.LoginOptions{
		OAuthOptions: credential.OAuthOptions{
			Name: "alice", ClientID: "app", ClientSecret: credential.Key{Value: credential.NewSecret("app-secret")},
			RefreshToken: credential.Key{Value: credential.NewSecret(f.first)},
			TokenURL:     "https://ro.example/oauth/token", Dir: stateDir(t, f.dir), Client: &http.Client{Transport: f.server.Transport()},
		},
		AuthorizeURL: "https://ro.example/oauth/authorize", RedirectURL: "http://127.0.0.1:1/",
	})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", l.URL(), nil)
	res, err := f.server.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Finish(t.Context(), to.Query()); err != nil {
		t.Fatal(err)
	}
}

// While the server is away the old token is used to its end, and nobody storms.
func TestATokenEndpointThatIsAway(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{Lifetime: 10 * time.Hour}, dir, nil)
		f.post(t.Context())
		for range 10_000 {
			f.server.Fail(503)
		}
		for start := time.Now(); time.Since(start) < 10*time.Hour-time.Minute; time.Sleep(10 * time.Second) {
			if got := f.post(t.Context()); got != 200 || f.Problems()["alice"] != nil {
				t.Fatalf("after %v: %d, %v", time.Since(start), got, f.Problems())
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
				t.Errorf("what is told of the failure shows %s", secret)
			}
		}
	})
}

func TestRoamRefusesAnAccessToken(t *testing.T) {
	for _, tt := range []struct {
		name           string
		happens        func(*roamtest.OAuth)
		status         int
		calls, rotated int
		problem        string
	}{
		{"before its time", (*roamtest.OAuth).Expire, 200, 2, 2, ""},
		{"because the grant is revoked", (*roamtest.OAuth).Revoke, 401, 2, 1, "revoked"}, // with token.info
		{"and the server is away", func(a *roamtest.OAuth) { a.Expire(); a.Fail(500) }, 401, 2, 1, "401"},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := granted(t, roamtest.OAuthOptions{}, dir, nil)
			f.post(t.Context())
			time.Sleep(day)
			tt.happens(f.server)
			before, level := f.roam.Calls(), f.queue.State().Tokens
			if got := f.post(t.Context()); got != tt.status || f.roam.Calls()-before != tt.calls {
				t.Errorf("%s: %d after %d calls, want %d after %d", tt.name, got, f.roam.Calls()-before, tt.status, tt.calls)
			}
			if spent := level - f.queue.State().Tokens; spent != float64(tt.calls) {
				t.Errorf("%s: %v tokens for %d calls", tt.name, spent, tt.calls)
			}
			if _, rotated := f.server.Asked(); rotated != tt.rotated {
				t.Errorf("%s: %d refreshes, want %d", tt.name, rotated, tt.rotated)
			}
			if err := f.Problems()["alice"]; (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.problem)
			}
			for range 20 {
				f.post(t.Context())
			}
			if _, rotated := f.server.Asked(); rotated > tt.rotated+1 {
				t.Errorf("%s: %d refreshes after 20 more calls", tt.name, rotated)
			}
		})
	}
}

// A kept access token that no header field can carry, because somebody edited the file, is replaced by a refresh.
//
// Seen to fail: every call failed, and readiness was green.
func TestAKeptTokenThatCannotBeSent(t *testing.T) {
	for name, token := range map[string]string{"a line break": `rma-x\n`, "an inner space": "rma x", "nothing": "", "a letter beyond ASCII": "rma-\u00e9", "Bearer": "Bearer rma-x"} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := granted(t, roamtest.OAuthOptions{}, dir, nil)
			content := `{"version":1,"access_token":"` + token + `","refresh_token":"` + f.first + `","had":"2000-01-01T00:00:00Z"}`
			if err := os.WriteFile(filepath.Join(dir, "oauth-alice.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := f.opened(t, "").Secret(t.Context()); err != nil || !strings.HasPrefix(s.Reveal(), "rma-") || credential.CheckValue(s.Reveal()) != nil {
				t.Errorf("%s: %v, want a new token", name, err)
			}
			f.asked(t, name, 1, 1)
		})
	}
}

// A token that Roam refuses although it is new is not replaced for every call.
func TestNewTokensThatRoamRefuses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{}, dir, func(*roamtest.Roam) http.RoundTripper {
			return roundTrips(func(r *http.Request) (*http.Response, error) {
				return reply(r, 401, `{"ok":false,"error":"invalid_token"}`), nil
			})
		})
		for range 300 {
			if got := f.post(t.Context()); got != 401 {
				t.Fatalf("answered %d", got)
			}
			time.Sleep(time.Second)
		}
		if _, rotated := f.server.Asked(); rotated > 10 {
			t.Errorf("%d refreshes in five minutes, want one in half a minute at most", rotated)
		}
	})
}

// Two processes, or two configurations of one, use the refresh token once.
func TestTwoOfUsShareAGrant(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{Lifetime: time.Hour}, dir, nil)
		all := []*credential.OAuth{f.source, f.opened(t, f.first), f.opened(t, f.first)}
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

func TestWhichRefreshTokenCounts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := granted(t, roamtest.OAuthOptions{}, dir, nil)
		f.source.Secret(t.Context())
		second := f.server.Grant()
		newer := f.opened(t, second)
		if _, err := newer.Secret(t.Context()); err != nil {
			t.Errorf("a refresh token that is configured anew: %v", err)
		}
		f.asked(t, "a refresh token that is configured anew", 2, 2)
		if _, err := f.opened(t, "").Secret(t.Context()); err != nil {
			t.Errorf("none configured, and one kept: %v", err)
		}
		f.asked(t, "none configured, and one kept", 2, 2)
		f.dir = filepath.Join(dir, "other")
		if _, err := f.opened(t, "").Secret(t.Context()); err == nil || !strings.Contains(err.Error(), "roamproxy login alice") {
			t.Errorf("none configured, and none kept: %v", err)
		}
		os.WriteFile(filepath.Join(f.dir, "oauth-alice.json"), []byte(`{"refresh_token":"rmr-`), 0o600)
		if _, err := f.opened(t, "").Secret(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "rmr-") {
			t.Errorf("a damaged one: %v", err)
		}
	})
}

// Whoever goes back to an older version finds the grant of the newer one untouched, and does not spend the first refresh token,
// which that one has used already.
func TestAGrantOfALaterVersion(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const later = `{"version":2,"access_token":{"of":"another kind"},"refresh_token":"rmr-later"}`
		f := granted(t, roamtest.OAuthOptions{}, dir, nil)
		path := filepath.Join(dir, "oauth-alice.json")
		os.WriteFile(path, []byte(later), 0o600)
		if got := f.post(t.Context()); got != 502 {
			t.Errorf("answered %d, want 502", got)
		}
		f.asked(t, "with a grant of a later version", 0, 0)
		if err := f.Problems()["alice"]; err == nil || !strings.Contains(err.Error(), "later roamproxy") || strings.Contains(err.Error(), "rmr-") || f.kept() != later {
			t.Errorf("the problem: %v, and the file: %s; want to be told what to do, and the file as it was", err, f.kept())
		}
		f.login(t)
		if aside, _ := os.ReadFile(path + ".other-version"); string(aside) != later || !strings.Contains(f.kept(), `"version":1`) {
			t.Errorf("after a login the later one is %q and the file %q, want it set aside", aside, f.kept())
		}
	})
}
