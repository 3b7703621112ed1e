package credential

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
)

// Transport adds the credential to a clone of the request, as the last thing before the network. It is bound to one scheme and
// host: a request for another is refused before the secret is even fetched. It follows nothing. What Roam answers does not
// show the secret, should Roam repeat it in a header field or in an error.
type Transport struct {
	Next         http.RoundTripper
	Name         string // of the credential, for errors
	Source       Source
	Scheme, Host string // as in the upstream's URL

	refused atomic.Pointer[refusal] // nil: Roam has not refused it, or not since it let a call pass
	blanks  atomic.Pointer[echo]    // of the secret that was used last
}

// RoundTrip sends the request with the credential instead of any Authorization that it has.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != t.Scheme || req.URL.Host != t.Host {
		closeBody(req)
		return nil, fmt.Errorf("%w: %s is for %s://%s alone, not for %s://%s", ErrCredential, t.Name, t.Scheme, t.Host, req.URL.Scheme, req.URL.Host)
	}
	secret, err := t.secret(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	req = req.WithContext(req.Context())
	req.Header = maps.Clone(req.Header)
	req.Header["Authorization"] = []string{"Bearer " + secret.Reveal()}
	res, err := t.Next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	echoed := t.echo(secret.Reveal())
	echoed.header(res.Header)
	if res.StatusCode >= 400 {
		echoed.body(res)
	}
	if err := t.learn(res, secret); err != nil {
		res.Body.Close()
		return nil, err
	}
	return res, nil
}

// echo is remembered, for a secret seldom changes, and to write all forms of one takes 2 µs (BenchmarkEcho).
func (t *Transport) echo(secret string) echo {
	if e := t.blanks.Load(); e != nil && e.secret == secret {
		return *e
	}
	e := newEcho(secret)
	t.blanks.Store(&e)
	return e
}

func (t *Transport) secret(ctx context.Context) (Secret, error) {
	secret, err := t.Source.Secret(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("credential %s: %w", t.Name, err)
	}
	return secret, nil
}

// learn keeps what an answer says of the credential.
func (t *Transport) learn(res *http.Response, secret Secret) error {
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		r, err := refuse(res, secret)
		if err != nil {
			return err
		}
		if r.aboutToken() {
			t.refused.Store(r)
		}
	case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests: // Roam looked at it and let it pass
		if r := t.refused.Load(); r != nil && r.secret.Reveal() == secret.Reveal() {
			t.refused.CompareAndSwap(r, nil)
		}
	}
	return nil
}

// Refused is Roam's last answer to the credential, in place of another call that would be refused as well. It is nil when the
// call may go: Roam does not refuse, the secret was replaced, or it is time to ask again. The error is that of a credential
// that cannot be used at all, for which no call should wait.
func (t *Transport) Refused(req *http.Request) (*http.Response, error) {
	secret, err := t.secret(req.Context())
	if err != nil {
		return nil, err
	}
	r := t.refused.Load()
	if r == nil || r.secret.Reveal() != secret.Reveal() || r.due() {
		return nil, nil
	}
	return r.answer(req), nil
}

// Renewed tells whether a call that was answered with res is worth sending again: Roam refused the secret, so that it did
// nothing, and there is another one now.
func (t *Transport) Renewed(res *http.Response) bool {
	source, renews := t.Source.(Renewer)
	body, refused := res.Body.(*refusedBody)
	if !renews || !refused || !body.refusal.aboutToken() || body.refusal.revoked() {
		return false
	}
	old := body.refusal.secret
	fresh, err := source.Renew(res.Request.Context(), old)
	return err == nil && fresh.Reveal() != old.Reveal()
}

// Problem tells what an operator must mend: Roam refused the credential, or it cannot be read. It is nil when all is well.
func (t *Transport) Problem() error {
	if source, ok := t.Source.(Mendable); ok {
		if err := source.Err(); err != nil {
			return fmt.Errorf("credential %s: %w", t.Name, err)
		}
	}
	r := t.refused.Load()
	if r == nil {
		return nil
	}
	if source, ok := t.Source.(Renewer); ok && source.Last().Reveal() != r.secret.Reveal() {
		return nil // there is another one now, which nobody has tried yet
	}
	if r.revoked() {
		return fmt.Errorf("credential %s: Roam says that it is revoked", t.Name)
	}
	return fmt.Errorf("credential %s: Roam answered 401 to it", t.Name)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
