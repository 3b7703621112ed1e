package credential

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"roamproxy/proxy/httpbody"
)

// Gate is the step before the queue. While Roam refuses the credential, Gate answers calls itself, so that a dead key spends no quota.
// After a 401 it asks Roam for token.info, to find out whether the key is refused or only may not use the method.
type Gate struct {
	Next       http.RoundTripper // the queue and what follows, down to Credential
	Credential *Transport
	// Identity asks Roam for token.info under the credential, by way of the queue. ctx must reach Credential.
	Identity func(ctx context.Context) (*http.Response, error)
}

// RoundTrip returns Roam's answer, or one of its own with the header field Roamproxy-Error: credential. The error is ErrCredential if there
// is no secret to send.
func (g *Gate) RoundTrip(req *http.Request) (*http.Response, error) {
	secret, err := g.Credential.secret(req.Context())
	if err != nil {
		httpbody.Close(req)
		return nil, err
	}
	if g.Credential.acceptance.refusalOf(secret) != nil && !g.askIdentity(req.Context(), secret) {
		if r := g.Credential.acceptance.refusalOf(secret); r != nil {
			httpbody.Close(req)
			return r.answer(req, g.Credential.Name), nil
		}
	}
	res, err := g.Next.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized || !buffer(res) {
		return res, err
	}
	if secret, err = g.Credential.secret(req.Context()); err != nil { // it may have been replaced
		return res, nil
	}
	g.askIdentity(req.Context(), secret)
	if r := g.Credential.acceptance.refusalOf(secret); r != nil {
		return r.answer(req, g.Credential.Name), nil
	}
	return res, nil
}

// askIdentity asks for token.info unless it did so a moment ago. open reports that the answer did not show whether the secret is good.
func (g *Gate) askIdentity(ctx context.Context, secret Secret) (open bool) {
	if !g.Credential.acceptance.startAsking(secret) {
		return false
	}
	res, err := g.Identity(context.WithValue(ctx, ownKey{}, true))
	if err != nil {
		return true
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, refusalSize)
	return res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests
}

// buffer reads the whole body into memory, which frees its slot for another call. It reports false if the body is too large or breaks.
func buffer(res *http.Response) bool {
	body, err := io.ReadAll(io.LimitReader(res.Body, refusalSize+1))
	if err != nil || len(body) > refusalSize {
		res.Body = httpbody.Unread(body, res.Body, err)
		return false
	}
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	return true
}
