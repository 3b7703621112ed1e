package credential

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"sync/atomic"

	"roamproxy/proxy/httpbody"
)

// Transport adds the credential to a clone of the request, as the last step before the network. It refuses a request for another scheme or
// host before it fetches the secret. It follows no redirects. Responses do not show the secret, even if Roam or a proxy repeats it: see
// redactor.
type Transport struct {
	Next         http.RoundTripper
	Name         string // of the credential, for errors
	Source       Source
	Scheme, Host string // as in the upstream's URL

	acceptance acceptance               // of the secret with Roam
	redactor   atomic.Pointer[redactor] // of the secrets that were used last
	keys       atomic.Pointer[Keys]     // of the secret that was used last
}

// RoundTrip sends the request with the credential in Authorization. It replaces an Authorization that the request has.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != t.Scheme || req.URL.Host != t.Host {
		httpbody.Close(req)
		return nil, fmt.Errorf("%w: %s is for %s://%s alone, not for %s://%s", ErrCredential, t.Name, t.Scheme, t.Host, req.URL.Scheme,
			req.URL.Host)
	}
	secret, err := t.secret(req.Context())
	if err != nil {
		httpbody.Close(req)
		return nil, err
	}
	req = req.WithContext(req.Context())
	req.Header = maps.Clone(req.Header)
	req.Header["Authorization"] = []string{"Bearer " + secret.Reveal()}
	r := t.redactorOf(req, secret)
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.Got1xxResponse != nil {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { r.header(http.Header(h)); return nil }, // runs before the hook of the caller
		}))
	}
	res, err := t.Next.RoundTrip(req)
	if err != nil {
		return nil, r.error(err)
	}
	delete(res.Header, errorHeader)
	r.response(res)
	if err := t.learn(req, res, secret); err != nil {
		res.Body.Close()
		return nil, err
	}
	return res, nil
}

// redactorOf returns a redactor for the credential and for the password of an HTTP proxy on the way, which the proxy may repeat. It reuses
// the last one, because secrets seldom change.
func (t *Transport) redactorOf(req *http.Request, secret Secret) *redactor {
	secrets := []string{secret.Reveal()}
	if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil && proxy.User != nil {
		password, ok := proxy.User.Password()
		if !ok {
			password = proxy.User.Username() // a token alone
		}
		if password != "" {
			secrets = append(secrets, password)
		}
	}
	if r := t.redactor.Load(); r != nil && slices.Equal(r.secrets, secrets) {
		return r
	}
	r := newRedactor(secrets...)
	t.redactor.Store(r)
	return r
}

func (t *Transport) secret(ctx context.Context) (Secret, error) {
	secret, err := t.Source.Secret(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("credential %s: %w", t.Name, err)
	}
	return secret, nil
}

// learn records what an answer shows about the credential.
func (t *Transport) learn(req *http.Request, res *http.Response, secret Secret) error {
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		r, err := refuse(res, secret, routeOf(req))
		if err != nil {
			return err
		}
		if r.isAboutToken() {
			t.acceptance.fail(r, isOwnQuestion(req.Context()))
		}
	case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests: // Roam accepted the credential
		t.acceptance.pass(secret, isOwnQuestion(req.Context()))
	}
	return nil
}

// CanRepeat reports whether a call that was answered with res should be sent again: Roam refused the secret, so it executed nothing,
// and there is another secret now.
func (t *Transport) CanRepeat(res *http.Response) bool {
	source, renews := t.Source.(Renewer)
	body, refused := res.Body.(*refusedBody)
	if !renews || !refused || !body.refusal.isAboutToken() || body.refusal.isRevoked() {
		return false
	}
	old := body.refusal.secret
	fresh, err := source.Renew(res.Request.Context(), old)
	return err == nil && fresh.Reveal() != old.Reveal()
}

// Problem returns what an operator must repair: Roam refused the credential, or it cannot be read. nil: all is well.
func (t *Transport) Problem() error {
	if source, ok := t.Source.(Checker); ok {
		if err := source.Err(); err != nil {
			return fmt.Errorf("credential %s: %w", t.Name, err)
		}
	}
	r := t.acceptance.latest()
	if r == nil {
		return nil
	}
	if source, ok := t.Source.(Renewer); ok && source.Last().Reveal() != r.secret.Reveal() {
		return nil // there is another one now, which no call has used yet
	}
	if r.isRevoked() {
		return fmt.Errorf("credential %s: Roam says that it is revoked", t.Name)
	}
	return fmt.Errorf("credential %s: Roam answered 401 to it, on more than one route", t.Name)
}
