package config

import (
	"errors"
	"fmt"
	"io/fs"

	"roamproxy/proxy/credential"
)

// checkFiles reports each file in the configuration that cannot be used. A running roamproxy reads files again, so this is about what
// the operator can repair before the start.
func (c Config) checkFiles(v *checker) {
	secret := func(key, path string) {
		if path != "" {
			_, err := credential.ReadFile(path)
			v.want(err == nil, key, "%v", err)
		}
	}
	secret("admin.token_file", c.Admin.TokenFile)
	secret("redis.password_file", c.Redis.PasswordFile)
	for i, k := range c.Credentials {
		key := fmt.Sprintf("credentials[%d]", i)
		secret(key+".api_key_file", k.APIKeyFile)
		secret(key+".oauth.client_secret_file", k.OAuth.ClientSecretFile)
		if _, err := credential.ReadFile(k.OAuth.RefreshTokenFile); !errors.Is(err, fs.ErrNotExist) { // after the first use it may be removed
			secret(key+".oauth.refresh_token_file", k.OAuth.RefreshTokenFile)
		}
	}
	for i, t := range c.Tools {
		secret(fmt.Sprintf("tools[%d].token_file", i), t.TokenFile)
	}
	if c.Upstream.CAFile != "" {
		checkCertificates(v, "upstream.ca_file", c.Upstream.CAFile)
	}
	c.checkRedisFiles(v)
}
