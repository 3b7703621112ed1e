package server

import (
	"net/http"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter/statefile"
	"roamproxy/proxy/credential"
)

// Source returns the secret source of a credential: OAuth, a file, or the key itself.
func Source(k config.Credential, dir *statefile.Dir, base http.RoundTripper) credential.Source {
	if k.OAuth.IsSet() {
		return credential.NewOAuth(OAuthOptions(k, dir, base))
	}
	if k.APIKeyFile != "" {
		return credential.NewFile(k.APIKeyFile)
	}
	return credential.Key{Value: k.APIKey}
}

// OAuthOptions returns the options that a credential's Source and its login share.
func OAuthOptions(k config.Credential, dir *statefile.Dir, base http.RoundTripper) credential.OAuthOptions {
	o := credential.OAuthOptions{
		Name: k.Name, ClientID: k.OAuth.ClientID, TokenURL: k.OAuth.TokenURL, Dir: dir,
		Client: &http.Client{Transport: base, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	o.ClientSecret = secretOf(k.OAuth.ClientSecret, k.OAuth.ClientSecretFile)
	o.RefreshToken = secretOf(k.OAuth.RefreshToken, k.OAuth.RefreshTokenFile)
	return o
}

// secretOf returns the source of a secret that is in the configuration or in a file; nil where it is in neither.
func secretOf(value credential.Secret, file string) credential.Source {
	switch {
	case file != "":
		return credential.NewFile(file)
	case !value.IsZero():
		return credential.Key{Value: value}
	}
	return nil
}
