package config

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
)

// warnings returns what an operator should know about a valid configuration.
func (l *Loaded) warnings(path string, content []byte) []string {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return nil
	}
	if key := l.secretIn(content); key != "" {
		return []string{fmt.Sprintf("%s holds a secret (%s) and every user of this machine can read it (%v); chmod o-r %s, or use %s",
			path, key, info.Mode()&fs.ModePerm, path, "a file of its own or ${NAME}")}
	}
	return nil
}

// secretIn returns the key of a secret in the text of the file, or "". A secret from the environment or a file of its own is not in the
// text.
func (l *Loaded) secretIn(content []byte) string {
	shows := func(secret string) bool { return secret != "" && bytes.Contains(content, []byte(secret)) }
	for i, k := range l.Credentials {
		switch key := fmt.Sprintf("credentials[%d].", i); {
		case shows(k.APIKey.Reveal()):
			return key + "api_key"
		case shows(k.OAuth.ClientSecret.Reveal()):
			return key + "oauth.client_secret"
		case shows(k.OAuth.RefreshToken.Reveal()):
			return key + "oauth.refresh_token"
		}
	}
	if o, err := l.Redis.ClientOptions(); err == nil && l.Redis.URL != "" && o.Password != "" && shows(string(l.Redis.URL)) {
		return "redis.url"
	}
	return ""
}
