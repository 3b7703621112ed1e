package roamtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// OAuthOptions describes Roam's authorization server. The zero value has the client "app" with the secret "app-secret".
type OAuthOptions struct {
	ClientID, ClientSecret string
	Lifetime               time.Duration // of an access token; 0 means Roam's week
	Deny                   bool          // the user does not agree
}

// OAuth simulates Roam's authorization server, /oauth/authorize and /oauth/token, as an http.Handler. A refresh token is valid for one
// refresh; using an old one ends the grant, as does using a code twice. The user agrees at once. An OAuth belongs to a Roam, which accepts
// the access tokens. It may be used by many goroutines.
type OAuth struct {
	roam *Roam
	o    OAuthOptions

	// All below is guarded by roam.mu.
	codes    map[string]*authorization
	refresh  map[string]*grant // by refresh token, old ones too
	access   map[string]*grant
	asked    int // calls of /oauth/token
	rotated  int
	failures []int
}

// authorization is one agreement of a user, until its code is exchanged.
type authorization struct {
	redirect, challenge string
	given               *grant // nil until the code is used
}

// grant is everything that came of one agreement.
type grant struct {
	refresh string // the valid refresh token
	access  map[string]time.Time
	revoked bool
}

// NewOAuth returns the authorization server of r.
func (r *Roam) NewOAuth(o OAuthOptions) *OAuth {
	if o.ClientID == "" {
		o.ClientID, o.ClientSecret = "app", "app-secret"
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 7 * 24 * time.Hour
	}
	a := &OAuth{roam: r, o: o, codes: make(map[string]*authorization), refresh: make(map[string]*grant), access: make(map[string]*grant)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oauth = a
	return a
}

// ServeHTTP answers both pages.
func (o *OAuth) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.Path == "/oauth/authorize" && req.Method == http.MethodGet:
		o.authorize(w, req)
	case req.URL.Path == "/oauth/token" && req.Method == http.MethodPost:
		o.token(w, req)
	default:
		http.NotFound(w, req)
	}
}

// Grant agrees without a page, and returns the first refresh token.
func (o *OAuth) Grant() string {
	o.roam.mu.Lock()
	defer o.roam.mu.Unlock()
	g := &grant{access: make(map[string]time.Time)}
	o.rotate(g)
	return g.refresh
}

// Fail answers the next calls of /oauth/token with these statuses, in this order.
func (o *OAuth) Fail(statuses ...int) {
	o.roam.mu.Lock()
	defer o.roam.mu.Unlock()
	o.failures = append(o.failures, statuses...)
}

// Revoke ends every grant.
func (o *OAuth) Revoke() {
	o.roam.mu.Lock()
	defer o.roam.mu.Unlock()
	for _, g := range o.refresh {
		g.revoked = true
	}
}

// Expire ends every access token, before its time.
func (o *OAuth) Expire() {
	o.roam.mu.Lock()
	defer o.roam.mu.Unlock()
	for _, g := range o.refresh {
		clear(g.access)
	}
}

// Asked returns how often /oauth/token was called, and how many refresh tokens were replaced.
func (o *OAuth) Asked() (calls, rotated int) {
	o.roam.mu.Lock()
	defer o.roam.mu.Unlock()
	return o.asked, o.rotated
}

func (o *OAuth) authorize(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	redirect, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != o.o.ClientID || redirect.Scheme != "http" || redirect.Hostname() != "127.0.0.1" {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest) // no redirect: the address may belong to an attacker
		return
	}
	answer := url.Values{"state": {q.Get("state")}}
	switch {
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "":
		answer.Set("error", "invalid_request")
	case o.o.Deny:
		answer.Set("error", "access_denied")
	default:
		code := "code-" + rand.Text()
		o.roam.mu.Lock()
		o.codes[code] = &authorization{redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge")}
		o.roam.mu.Unlock()
		answer.Set("code", code)
	}
	redirect.RawQuery = answer.Encode()
	http.Redirect(w, req, redirect.String(), http.StatusFound)
}

func (o *OAuth) token(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, 64<<10)
	req.ParseForm()
	f := req.PostForm
	o.roam.mu.Lock()
	defer o.roam.mu.Unlock()
	o.asked++
	var g *grant
	switch {
	case len(o.failures) > 0:
		status := o.failures[0]
		o.failures = o.failures[1:]
		http.Error(w, "no: "+f.Encode(), status) // repeats the secrets, as careless servers do
		return
	case f.Get("client_id") != o.o.ClientID || f.Get("client_secret") != o.o.ClientSecret:
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	case f.Get("grant_type") == "authorization_code":
		g = o.redeem(f)
	case f.Get("grant_type") == "refresh_token":
		if g = o.refresh[f.Get("refresh_token")]; g != nil && g.refresh != f.Get("refresh_token") {
			g.revoked = true // an old one was used, perhaps by a thief
		}
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	if g == nil || g.revoked {
		refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	if f.Get("grant_type") == "refresh_token" {
		o.rotated++
	}
	access := o.rotate(g)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"access_token": access, "refresh_token": g.refresh, "token_type": "Bearer",
		"expires_in": int(o.o.Lifetime.Seconds())})
}

// redeem returns the grant of a code, which is valid once.
func (o *OAuth) redeem(f url.Values) *grant {
	r := o.codes[f.Get("code")]
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	switch {
	case r == nil || r.redirect != f.Get("redirect_uri") || r.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		return nil
	case r.given != nil:
		r.given.revoked = true
		return nil
	}
	r.given = &grant{access: make(map[string]time.Time)}
	return r.given
}

// rotate gives a grant new tokens. Earlier access tokens stay valid until they expire.
func (o *OAuth) rotate(g *grant) (access string) {
	g.refresh, access = "rmr-"+rand.Text(), "rma-"+rand.Text()
	o.refresh[g.refresh], o.access[access] = g, g
	g.access[access] = time.Now().Add(o.o.Lifetime)
	return access
}

// knows reports whether an access token is valid, and else the code with which it is refused. The lock is held.
func (o *OAuth) knows(access string) (good bool, code string) {
	if g := o.access[access]; g != nil && g.revoked {
		return false, "token_revoked"
	} else if g != nil && time.Now().Before(g.access[access]) {
		return true, ""
	}
	return false, "invalid_token"
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"error_description":"no"}`, code)
}

// Transport returns an http.RoundTripper that calls the authorization server without a socket, as Roam.Transport does.
func (o *OAuth) Transport() http.RoundTripper { return direct{o} }
