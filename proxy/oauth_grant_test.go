package proxy

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// The new refresh token is on disk before the access token that came with it is used.
func TestARefreshTokenIsStoredBeforeItsAccessTokenIsUsed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f *oauthHarness
		f = newOAuthHarness(t, roamtest.OAuthOptions{}, dir, func(roam *roamtest.Roam) http.RoundTripper {
			return roundTrips(func(r *http.Request) (*http.Response, error) {
				if access := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); !strings.Contains(f.stored(), access) {
					t.Error("a call has a token that is not on disk, want it stored before")
				}
				return roam.Transport().RoundTrip(r)
			})
		})
		for range 30 {
			f.post(t.Context())
			time.Sleep(day)
		}
		if strings.Contains(f.stored(), f.first) {
			t.Error("the spent refresh token is on disk, want it replaced")
		}
	})
}

func TestARevokedGrantCostsNoCalls(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
		f.server.Revoke()
		for range 600 {
			if w := f.do(t.Context(), "POST", "/v1/chat.post", "{}"); w.Code != 502 || w.Header().Get("Roamproxy-Error") != "credential" {
				t.Fatalf("%d %s, want 502 credential", w.Code, w.Body)
			}
			time.Sleep(time.Second)
		}
		f.expectRefreshes(t, "ten minutes of calls", 1, 0)
		if f.roam.Calls() != 0 || f.queue.State().Tokens < 1000 {
			t.Errorf("%d calls, %v tokens left; want nothing spent", f.roam.Calls(), f.queue.State().Tokens)
		}
		if err := f.Problems()["alice"]; err == nil || !strings.Contains(err.Error(), "roamproxy login") {
			t.Errorf("the problem: %v, want one that says what to do", err)
		}
		f.login(t)
		time.Sleep(30 * time.Second)
		if got := f.post(t.Context()); got != 200 || f.Problems()["alice"] != nil {
			t.Errorf("after a login: %d, %v; want 200 and no problem", got, f.Problems())
		}
	})
}

// login makes the requests of a browser login.
func (h *oauthHarness) login(t *testing.T) {
	t.Helper()
	l, err := credential.NewLogin(t.Context(), credential.LoginOptions{
		OAuthOptions: credential.OAuthOptions{
			Name: "alice", ClientID: "app", ClientSecret: credential.Key{Value: credential.NewSecret("app-secret")},
			RefreshToken: credential.Key{Value: credential.NewSecret(h.first)},
			TokenURL:     "https://ro.example/oauth/token", Dir: stateDir(t, h.dir), Client: &http.Client{Transport: h.server.Transport()},
		},
		AuthorizeURL: "https://ro.example/oauth/authorize", RedirectURL: "http://127.0.0.1:1/",
	})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", l.URL(), nil)
	res, err := h.server.Transport().RoundTrip(req)
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

// A stored access token that no header field can carry, because the file was edited, is replaced by a refresh.
//
// Seen to fail before: every call failed, and readiness was green.
func TestAStoredTokenThatNoHeaderCarriesIsReplaced(t *testing.T) {
	for name, token := range map[string]string{"a line break": `rma-x\n`, "an inner space": "rma x", "nothing": "",
		"a letter beyond ASCII": "rma-\u00e9", "Bearer": "Bearer rma-x"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
				content := `{"version":1,"access_token":"` + token + `","refresh_token":"` + f.first + `","had":"2000-01-01T00:00:00Z"}`
				if err := os.WriteFile(filepath.Join(dir, "oauth-alice.json"), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				if s, err := f.newSource(t, "").Secret(t.Context()); err != nil || !strings.HasPrefix(s.Reveal(), "rma-") ||
					credential.CheckValue(s.Reveal()) != nil {
					t.Errorf("%v, want a new token", err)
				}
				f.expectRefreshes(t, name, 1, 1)
			})
		})
	}
}

func TestWhichRefreshTokenIsUsed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
		f.source.Secret(t.Context())
		second := f.server.Grant()
		newer := f.newSource(t, second)
		if _, err := newer.Secret(t.Context()); err != nil {
			t.Errorf("a refresh token that is configured anew: %v", err)
		}
		f.expectRefreshes(t, "a refresh token that is configured anew", 2, 2)
		if _, err := f.newSource(t, "").Secret(t.Context()); err != nil {
			t.Errorf("none configured, and one kept: %v", err)
		}
		f.expectRefreshes(t, "none configured, and one kept", 2, 2)
		f.dir = filepath.Join(dir, "other")
		if _, err := f.newSource(t, "").Secret(t.Context()); err == nil || !strings.Contains(err.Error(), "roamproxy login alice") {
			t.Errorf("none configured, and none kept: %v", err)
		}
		os.WriteFile(filepath.Join(f.dir, "oauth-alice.json"), []byte(`{"refresh_token":"rmr-`), 0o600)
		if _, err := f.newSource(t, "").Secret(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") ||
			strings.Contains(err.Error(), "rmr-") {
			t.Errorf("a damaged one: %v", err)
		}
	})
}

// A grant that a newer roamproxy wrote stays unchanged. The configured refresh token is not spent, because the newer one has used it
// already. A login sets the file aside.
func TestAGrantOfALaterVersionIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const later = `{"version":2,"access_token":{"of":"another kind"},"refresh_token":"rmr-later"}`
		f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
		path := filepath.Join(dir, "oauth-alice.json")
		os.WriteFile(path, []byte(later), 0o600)
		if got := f.post(t.Context()); got != 502 {
			t.Errorf("answered %d, want 502", got)
		}
		f.expectRefreshes(t, "with a grant of a later version", 0, 0)
		if err := f.Problems()["alice"]; err == nil || !strings.Contains(err.Error(), "later roamproxy") ||
			strings.Contains(err.Error(), "rmr-") || f.stored() != later {
			t.Errorf("the problem: %v, and the file: %s; want what to do, and the file unchanged", err, f.stored())
		}
		f.login(t)
		if aside, _ := os.ReadFile(path + ".other-version"); string(aside) != later || !strings.Contains(f.stored(), `"version":1`) {
			t.Errorf("after a login the later one is %q and the file %q, want it set aside", aside, f.stored())
		}
	})
}
