package server

import (
	"net/http"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter/statefile"
	"roamproxy/proxy/credential"
)

func Source(k config.Credential, dir *statefile.Dir, base http.RoundTripper) credential.Source {
	if k.OAuth.IsSet() {
		return credential.NewOAuth(OAuthOptions(k, dir, base))
	}
	if k.APIKeyFile != "" {
		return credential.NewFile(k.APIKeyFile)
	}
	return credential.Key{Value: k.APIKey}
}

// OAuthOptions returns what a credential's Source and its login are made of.
func OAuthOptions(k config.Credential, dir *statefile.Dir, base http.RoundTripper) credential.OAuthOptions {
	o := credential.OAuthOptions{
		Name: k.Name, ClientID: k.OAuth.ClientID, TokenURL: k.OAuth.TokenURL, Dir: dir,
		Client: &http.Client{Transport: base, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	o.ClientSecret = secretOf(k.OAuth.ClientSecret, k.OAuth.ClientSecretFile)
	o.RefreshToken = secretOf(k.OAuth.RefreshToken, k.OAuth.RefreshTokenFile)
	return o
}

// secretOf is a secret that is written or in a file; nil where it is neither.
func secretOf(value credential.Secret, file string) credential.Source {
	switch {
	case file != "":
		return credential.NewFile(file)
	case !value.IsZero():
		return credential.Key{Value: value}
	}
	return nil
}
