package credential

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// Transport adds the credential to a clone of the request, as the last thing before the network. It is bound to one scheme and
// host: a request for another is refused before the secret is even fetched. It follows nothing.
type Transport struct {
	Next         http.RoundTripper
	Name         string // of the credential, for errors
	Source       Source
	Scheme, Host string // as in the upstream's URL

	refused atomic.Bool
}

// RoundTrip sends the request with the credential instead of any Authorization that it has.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != t.Scheme || req.URL.Host != t.Host {
		closeBody(req)
		return nil, fmt.Errorf("%w: %s is for %s://%s alone, not for %s://%s", ErrCredential, t.Name, t.Scheme, t.Host, req.URL.Scheme, req.URL.Host)
	}
	secret, err := t.Source.Secret(req.Context())
	if err != nil {
		closeBody(req)
		return nil, fmt.Errorf("credential %s: %w", t.Name, err)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+secret.Reveal())
	res, err := t.Next.RoundTrip(req)
	if err == nil {
		switch {
		case res.StatusCode == http.StatusUnauthorized:
			t.refused.Store(true)
		case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests: // Roam looked at it and let it pass
			t.refused.Store(false)
		}
	}
	return res, err
}

// Problem tells what an operator must mend: Roam refused the credential, or it cannot be read. It is nil when all is well.
func (t *Transport) Problem() error {
	if t.refused.Load() {
		return fmt.Errorf("credential %s: Roam answered 401 to it", t.Name)
	}
	if f, ok := t.Source.(*File); ok {
		if err := f.Err(); err != nil {
			return fmt.Errorf("credential %s: %w", t.Name, err)
		}
	}
	return nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
