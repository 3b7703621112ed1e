package credential

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"roamproxy/proxy/httpbody"
)

// Gate is the step before the queue. While Roam refuses the credential it answers itself, so that a dead key does not use up the
// quota. After a 401 it asks Roam for token.info, to tell a refused key from a method that the key may not use.
type Gate struct {
	Next       http.RoundTripper // the queue and what follows, down to Credential
	Credential *Transport
	// Identity asks Roam for token.info under the credential, by way of the queue. ctx must reach Credential.
	Identity func(ctx context.Context) (*http.Response, error)
}

// RoundTrip returns Roam's answer, or one with the header field Roamproxy-Error: credential. An error that is ErrCredential says
// that there is no secret to send.
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
	if secret, err = g.Credential.secret(req.Context()); err != nil { // it may be another one by now
		return res, nil
	}
	g.askIdentity(req.Context(), secret)
	if r := g.Credential.acceptance.refusalOf(secret); r != nil {
		return r.answer(req, g.Credential.Name), nil
	}
	return res, nil
}

// askIdentity asks for token.info if it is time to, and reports whether Roam's answer left it open if the secret is good.
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

// buffer takes a body from the connection, so that its slot is free for another call. It reports whether it could.
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
