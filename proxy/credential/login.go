package credential

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"

	"golang.org/x/oauth2"
)

// Login obtains the first refresh token of a credential by an authorization code, after a person has agreed on a page. PKCE (RFC 7636)
// and a random state protect it.
type Login struct {
	o        OAuthOptions
	config   oauth2.Config
	state    string
	verifier string
}

// LoginOptions configures a Login.
type LoginOptions struct {
	OAuthOptions
	AuthorizeURL string
	RedirectURL  string // where the page sends the browser afterwards
	Scopes       []string
}

// ErrState reports that an answer belongs to another login.
var ErrState = errors.New("this answer belongs to another login: its state differs")

// NewLogin returns a Login. It sends nothing yet.
func NewLogin(ctx context.Context, o LoginOptions) (*Login, error) {
	config, err := NewOAuth(o.OAuthOptions).config(ctx)
	if err != nil {
		return nil, err
	}
	config.Endpoint.AuthURL, config.RedirectURL, config.Scopes = o.AuthorizeURL, o.RedirectURL, o.Scopes
	return &Login{o.OAuthOptions, *config, rand.Text(), oauth2.GenerateVerifier()}, nil
}

// URL returns the address of the page to open.
func (l *Login) URL() string {
	return l.config.AuthCodeURL(l.state, oauth2.S256ChallengeOption(l.verifier))
}

// Finish exchanges the code in the query of the redirect for a grant, and writes that to the file. After ErrState the login can go on.
func (l *Login) Finish(ctx context.Context, answer url.Values) error {
	if subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(l.state)) != 1 {
		return ErrState
	}
	if answer.Has("error") {
		return fmt.Errorf("the answer from Roam is %.100q", answer.Get("error"))
	}
	source := NewOAuth(l.o)
	unlock, err := source.file.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	room, err := source.file.prepare()
	if err != nil {
		return err
	}
	grant, err := l.exchange(ctx, answer.Get("code"))
	if err != nil {
		room.Discard()
		return err
	}
	return grant.keep(room)
}

func (l *Login) exchange(ctx context.Context, code string) (Grant, error) {
	seed := ""
	if l.o.RefreshToken != nil {
		if first, err := l.o.RefreshToken.Secret(ctx); err == nil {
			seed = seedOf(first)
		}
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, l.o.Client)
	token, err := l.config.Exchange(ctx, code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		if err = publicError(err); errors.Is(err, errInvalidGrant) {
			err = errors.New("the code is not valid (invalid_grant); begin anew")
		}
		return Grant{}, err
	}
	if token.RefreshToken == "" {
		return Grant{}, errors.New("no refresh token came from Roam")
	}
	return newGrant(token, seed)
}
