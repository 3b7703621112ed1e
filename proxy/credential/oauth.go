package credential

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"roamproxy/limiter/statefile"
)

// OAuthOptions configures an OAuth.
type OAuthOptions struct {
	Name         string // of the credential, and of its file in Dir
	ClientID     string
	ClientSecret Source // nil: a client without one
	RefreshToken Source // the first one; nil: what roamproxy login left in Dir
	TokenURL     string
	Dir          *statefile.Dir // where rotated refresh tokens are kept
	Client       *http.Client   // must not follow redirects: it sends secrets
}

// OAuth is a Source that uses the refresh grant (RFC 6749, section 6). Over all processes that share Dir, one refresh runs at a time. It
// begins before the access token ends, and calls use the old token meanwhile. Calls wait for a refresh only if there is no usable token.
// OAuth is a Renewer.
type OAuth struct {
	o    OAuthOptions
	file grantFile

	mu          sync.Mutex // guards the following
	grant       Grant
	refreshAt   time.Time // when to refresh; zero: when Roam refuses the token
	refreshed   chan struct{}
	err         error     // of the last refresh
	invalidSeed string    // seedOf the refresh token that the server refused for good
	retryAt     time.Time // no refresh before this
	backoff     time.Duration
}

var _ Renewer = (*OAuth)(nil)

// NewOAuth returns a Source with the access token in the file, if that is still valid. It asks no server yet. Without a refresh token, Err
// says so.
func NewOAuth(o OAuthOptions) *OAuth {
	s := &OAuth{o: o, file: newGrantFile(o.Dir, o.Name)}
	if g, adopted, err := s.latest(context.Background(), Grant{}); err != nil {
		s.err = err
	} else if adopted {
		s.apply(g, nil)
	}
	return s
}

const (
	// tokenSlack is how long before its end an access token is no longer sent: a call may take a while to reach Roam.
	tokenSlack = 10 * time.Second
	// maxAhead bounds how early a token is replaced. For Roam's, which last a week, two hours are a small part.
	maxAhead = 2 * time.Hour
	// refreshTime bounds one refresh.
	refreshTime = 30 * time.Second
	// A failed refresh is tried again after a second, then two, and at most twice a minute.
	firstBackoff, lastBackoff = time.Second, 30 * time.Second
)

// Secret returns the access token. It waits for a refresh if there is no usable token.
func (o *OAuth) Secret(ctx context.Context) (Secret, error) {
	for waited := false; ; waited = true {
		o.mu.Lock()
		now := time.Now()
		usable, access, problem := o.isUsable(now), o.grant.Access, o.err
		var flight <-chan struct{}
		switch {
		case usable && (o.refreshAt.IsZero() || now.Before(o.refreshAt) || now.Before(o.retryAt)):
		case waited && problem == nil: // the new token is used, even if it ends soon
			usable = true
		case !usable && problem != nil && (waited || now.Before(o.retryAt)):
			o.mu.Unlock()
			return Secret{}, fmt.Errorf("%w: %w", ErrCredential, problem)
		default:
			flight = o.refresh()
		}
		o.mu.Unlock()
		if usable {
			return access, nil
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return Secret{}, context.Cause(ctx)
		}
	}
}

// isUsable reports whether the access token may be sent. The lock is held.
func (o *OAuth) isUsable(now time.Time) bool {
	return !o.grant.Access.IsZero() && (o.grant.Expires.IsZero() || now.Before(o.grant.Expires.Add(-tokenSlack)))
}

// Renew gets another access token than old. It returns old if that was obtained within refusalAge: who refuses a new token will refuse the
// next one too.
func (o *OAuth) Renew(ctx context.Context, old Secret) (Secret, error) {
	o.mu.Lock()
	now := time.Now()
	if o.grant.Access.Reveal() != old.Reveal() || now.Sub(o.grant.Obtained) < refusalAge || now.Before(o.retryAt) {
		defer o.mu.Unlock()
		return o.grant.Access, nil
	}
	flight := o.refresh()
	o.mu.Unlock()
	select {
	case <-flight:
	case <-ctx.Done():
		return Secret{}, context.Cause(ctx)
	}
	return o.Last(), nil
}

// Last returns the access token that was received last.
func (o *OAuth) Last() Secret {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.grant.Access
}

// Err returns why there is no access token, or nil: at once if the grant has ended, otherwise when the last token has expired. Meanwhile it
// starts a refresh from time to time, so that a repaired grant shows without a call.
func (o *OAuth) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.err == nil || o.invalidSeed == "" && o.isUsable(now) {
		return nil
	}
	if !now.Before(o.retryAt) {
		o.refresh()
	}
	return o.err
}

// refresh starts a refresh unless one is in progress, and returns a channel that is closed at its end. The lock is held. The refresh does
// not end with its caller: one that is cancelled may have spent the refresh token.
func (o *OAuth) refresh() <-chan struct{} {
	if o.refreshed != nil {
		return o.refreshed
	}
	flight := make(chan struct{})
	o.refreshed = flight
	had := o.grant
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), refreshTime)
		defer cancel()
		grant, err := o.exchange(ctx, had)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.apply(grant, err)
		o.refreshed = nil
		close(flight)
	}()
	return flight
}

// apply applies the result of a refresh. The lock is held.
func (o *OAuth) apply(grant Grant, err error) {
	now := time.Now()
	if !grant.Access.IsZero() && grant.Access.Reveal() != o.grant.Access.Reveal() {
		o.grant, o.refreshAt = grant, time.Time{}
		if !grant.Expires.IsZero() {
			ahead := max(min(grant.Expires.Sub(grant.Obtained)/10, maxAhead), 0)
			o.refreshAt = grant.Expires.Add(-ahead/2 - rand.N(ahead/2+1)) // replicas that started together do not refresh together
		}
	}
	o.err = err
	if err == nil {
		o.invalidSeed, o.retryAt, o.backoff = "", time.Time{}, 0
		return
	}
	o.backoff = min(max(2*o.backoff, firstBackoff), lastBackoff)
	o.retryAt = now.Add(o.backoff)
}

// exchange has the server replace the refresh token, or returns the grant that another process has stored meanwhile. One exchange runs at a
// time.
func (o *OAuth) exchange(ctx context.Context, had Grant) (Grant, error) {
	unlock, err := o.file.Lock()
	if err != nil {
		return Grant{}, fmt.Errorf("state_dir cannot be written, and a rotated refresh token must be kept: %w", err)
	}
	defer unlock()
	from, adopted, err := o.latest(ctx, had)
	if err != nil || adopted {
		return from, err
	}
	o.mu.Lock()
	dead := o.invalidSeed
	o.mu.Unlock()
	if seedOf(from.Refresh) == dead {
		return Grant{}, errInvalidGrant
	}
	room, err := o.file.prepare()
	if err != nil {
		return Grant{}, fmt.Errorf("state_dir cannot be written, and a rotated refresh token must be kept: %w", err)
	}
	grant, err := o.ask(ctx, from)
	if err != nil {
		room.Discard()
		if errors.Is(err, errInvalidGrant) {
			o.mu.Lock()
			o.invalidSeed = seedOf(from.Refresh)
			o.mu.Unlock()
		}
		return Grant{}, err
	}
	if err := grant.keep(room); err != nil {
		return grant, fmt.Errorf("the new refresh token could not be written to state_dir, so a restart will need roamproxy login: %w", err)
	}
	return grant, nil
}

// latest returns the grant to refresh: the stored one, or one of the configured refresh token if that was changed. adopted reports that
// the stored grant has another access token than had, and a usable one: another process refreshed, or a person logged in.
func (o *OAuth) latest(ctx context.Context, had Grant) (g Grant, adopted bool, err error) {
	g, err = o.file.read()
	if err != nil {
		return Grant{}, false, err
	}
	if o.o.RefreshToken != nil {
		first, err := o.o.RefreshToken.Secret(ctx)
		if err != nil {
			return Grant{}, false, fmt.Errorf("refresh_token: %w", err)
		}
		if seed := seedOf(first); g.Refresh.IsZero() || g.Seed != seed {
			return Grant{Refresh: first, Seed: seed}, false, nil
		}
	}
	if g.Refresh.IsZero() {
		return Grant{}, false, fmt.Errorf("there is no refresh token yet; run roamproxy login %s", o.o.Name)
	}
	adopted = g.Access.Reveal() != had.Access.Reveal() && (g.Expires.IsZero() || time.Until(g.Expires) > tokenSlack)
	return g, adopted, nil
}

// errInvalidGrant reports that a person must log in again.
var errInvalidGrant = errors.New("the refresh token is not valid any more (invalid_grant); run roamproxy login")

// ask sends the refresh token to the server.
func (o *OAuth) ask(ctx context.Context, from Grant) (Grant, error) {
	config, err := o.config(ctx)
	if err != nil {
		return Grant{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, o.o.Client)
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: from.Refresh.Reveal()}).Token()
	if err != nil {
		return Grant{}, publicError(err)
	}
	return newGrant(token, from.Seed)
}

func (o *OAuth) config(ctx context.Context) (*oauth2.Config, error) {
	config := &oauth2.Config{ClientID: o.o.ClientID, Endpoint: oauth2.Endpoint{TokenURL: o.o.TokenURL, AuthStyle: oauth2.AuthStyleInParams}}
	if o.o.ClientSecret != nil {
		secret, err := o.o.ClientSecret.Secret(ctx)
		if err != nil {
			return nil, fmt.Errorf("client_secret: %w", err)
		}
		config.ClientSecret = secret.Reveal()
	}
	return config, nil
}

// newGrant returns the Grant in a server's answer.
func newGrant(token *oauth2.Token, seed string) (Grant, error) {
	g := Grant{NewSecret(token.AccessToken), NewSecret(token.RefreshToken), time.Now().Round(0), token.Expiry.Round(0), seed}
	if !strings.EqualFold(token.Type(), "bearer") {
		return Grant{}, errors.New("the token endpoint gave a token that is no Bearer")
	}
	if err := CheckValue(token.AccessToken); err != nil {
		return Grant{}, fmt.Errorf("the token endpoint gave an access token that cannot be sent: %w", err)
	}
	return g, nil
}

// publicError returns an error that shows only the kind of the failure and the OAuth error code: any other text could repeat what was
// sent. It wraps no error, so that no caller can print one.
func publicError(err error) error {
	var refused *oauth2.RetrieveError
	switch {
	case !errors.As(err, &refused):
		return fmt.Errorf("the token endpoint could not be asked: %s", kindOf(err))
	case refused.ErrorCode == "invalid_grant":
		return errInvalidGrant
	case refused.Response == nil:
		return errors.New("the token endpoint gave no usable answer")
	}
	// RFC 6749, section 5.2
	for _, code := range []string{"invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"} {
		if refused.ErrorCode == code {
			return fmt.Errorf("the token endpoint answered %d %s", refused.Response.StatusCode, code)
		}
	}
	return fmt.Errorf("the token endpoint answered %d", refused.Response.StatusCode)
}

// kindOf describes a network error in words of our own.
func kindOf(err error) string {
	var timeout net.Error
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	case errors.Is(err, context.Canceled):
		return "the request was cancelled"
	case errors.As(err, &name):
		return "its name cannot be resolved"
	case errors.As(err, &certificate):
		return "its certificate cannot be verified"
	case errors.As(err, &record):
		return "it does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke"
	case errors.As(err, new(*net.OpError)):
		return "no connection could be made"
	}
	return "it gave no usable answer"
}
