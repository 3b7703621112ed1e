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

// Login obtains the first refresh token of a credential: an authorization code for whoever opens a page and agrees, with proof
// that both ends of it are ours (RFC 7636), and with a state that no other page can know.
type Login struct {
	o        OAuthOptions
	config   oauth2.Config
	state    string
	verifier string
}

// LoginOptions says where a person agrees to what.
type LoginOptions struct {
	OAuthOptions
	AuthorizeURL string
	RedirectURL  string // where the page leads in the end
	Scopes       []string
}

// ErrState says that an answer is not one to this login.
var ErrState = errors.New("this is no answer to this login: its state is another one")

// NewLogin begins a login. Nothing is asked yet.
func NewLogin(ctx context.Context, o LoginOptions) (*Login, error) {
	config, err := NewOAuth(o.OAuthOptions).config(ctx)
	if err != nil {
		return nil, err
	}
	config.Endpoint.AuthURL, config.RedirectURL, config.Scopes = o.AuthorizeURL, o.RedirectURL, o.Scopes
	return &Login{o.OAuthOptions, *config, rand.Text(), oauth2.GenerateVerifier()}, nil
}

// URL is the page to open.
func (l *Login) URL() string {
	return l.config.AuthCodeURL(l.state, oauth2.S256ChallengeOption(l.verifier))
}

// Finish takes the address to which the page led, and keeps the grant that it brings. ErrState leaves the login open.
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
