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

const day = 24 * time.Hour

// oauthHarness is a harness whose credential comes from an authorization server.
type oauthHarness struct {
	*harness
	server *roamtest.OAuth
	source *credential.OAuth
	dir    string
	first  string // the refresh token that is configured
}

// newOAuthHarness returns a harness in front of roam, or of what base makes of it. The grant is stored in dir.
func newOAuthHarness(t *testing.T, o roamtest.OAuthOptions, dir string, base func(*roamtest.Roam) http.RoundTripper) *oauthHarness {
	roam := roamtest.New(roamtest.Options{Rate: 1000, Burst: 1000, Keys: []string{"none"}})
	f := &oauthHarness{server: roam.NewOAuth(o), dir: dir}
	f.first = f.server.Grant()
	f.source = f.newSource(t, f.first)
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

// newSource returns the source that another process with this refresh token would have; "": none is configured.
func (h *oauthHarness) newSource(t *testing.T, first string) *credential.OAuth {
	o := credential.OAuthOptions{
		Name: "alice", ClientID: "app", ClientSecret: credential.Key{Value: credential.NewSecret("app-secret")},
		TokenURL: "https://ro.example/oauth/token", Dir: stateDir(t, h.dir), Client: &http.Client{Transport: h.server.Transport()},
	}
	if first != "" {
		o.RefreshToken = credential.Key{Value: credential.NewSecret(first)}
	}
	return credential.NewOAuth(o)
}

// expectRefreshes demands how often the token endpoint was called, and how many refresh tokens it replaced.
func (h *oauthHarness) expectRefreshes(t *testing.T, when string, calls, rotated int) {
	t.Helper()
	if c, r := h.server.Asked(); c != calls || r != rotated {
		t.Errorf("%s: the token endpoint was asked %d times and gave %d times, want %d and %d", when, c, r, calls, rotated)
	}
}

// stored returns the file of the grant.
func (h *oauthHarness) stored() string {
	content, _ := os.ReadFile(filepath.Join(h.dir, "oauth-alice.json"))
	return string(content)
}

func TestARefusedAccessTokenIsRefreshedOnce(t *testing.T) {
	for _, tt := range []struct {
		name           string
		happens        func(*roamtest.OAuth)
		status         int
		calls, rotated int
		problem        string
	}{
		{"before its time", (*roamtest.OAuth).Expire, 200, 2, 2, ""},
		{"because the grant is revoked", (*roamtest.OAuth).Revoke, 401, 2, 1, "revoked"}, // with token.info
		{"and the token endpoint fails", func(a *roamtest.OAuth) { a.Expire(); a.Fail(500) }, 401, 2, 1, "401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, nil)
				f.post(t.Context())
				time.Sleep(day)
				tt.happens(f.server)
				before, level := f.roam.Calls(), f.queue.State().Tokens
				if got := f.post(t.Context()); got != tt.status || f.roam.Calls()-before != tt.calls {
					t.Errorf("%d after %d calls, want %d after %d", got, f.roam.Calls()-before, tt.status, tt.calls)
				}
				if spent := level - f.queue.State().Tokens; spent != float64(tt.calls) {
					t.Errorf("%v tokens for %d calls, want one each", spent, tt.calls)
				}
				if _, rotated := f.server.Asked(); rotated != tt.rotated {
					t.Errorf("%d refreshes, want %d", rotated, tt.rotated)
				}
				if err := f.Problems()["alice"]; (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("%v, want %q", err, tt.problem)
				}
				for range 20 {
					f.post(t.Context())
				}
				if _, rotated := f.server.Asked(); rotated > tt.rotated+1 {
					t.Errorf("%d refreshes after 20 more calls, want at most one more", rotated)
				}
			})
		})
	}
}

// A new token that Roam refuses is not refreshed for every call.
func TestARefusedNewTokenIsNotRefreshedForEachCall(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newOAuthHarness(t, roamtest.OAuthOptions{}, dir, func(*roamtest.Roam) http.RoundTripper {
			return roundTrips(func(r *http.Request) (*http.Response, error) {
				return reply(r, 401, `{"ok":false,"error":"invalid_token"}`), nil
			})
		})
		for range 300 {
			if got := f.post(t.Context()); got != 401 {
				t.Fatalf("answered %d, want 401", got)
			}
			time.Sleep(time.Second)
		}
		if _, rotated := f.server.Asked(); rotated > 10 {
			t.Errorf("%d refreshes in five minutes, want one in half a minute at most", rotated)
		}
	})
}
