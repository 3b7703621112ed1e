package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Seen to fail without a check of the file's mode.
func TestASecretThatEveryUserCanRead(t *testing.T) {
	const oauth = "credentials: [{name: alice, oauth: {client_id: a, %s: geheim-1, token_url: https://ro.am/oauth/token}}]"
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string // the key that is named; "": no warning
	}{
		{"a key, for everybody", "credentials: [{name: org, api_key: geheim-1}]", 0o644, "credentials[0].api_key"},
		{"a key, for everybody to write too", "credentials: [{name: org, api_key: geheim-1}]", 0o666, "credentials[0].api_key"},
		{"a key, for others alone", "credentials: [{name: org, api_key: geheim-1}]", 0o604, "credentials[0].api_key"},
		{"a key, for the group", "credentials: [{name: org, api_key: geheim-1}]", 0o640, ""},
		{"a key, for its user", "credentials: [{name: org, api_key: geheim-1}]", 0o600, ""},
		{"a key from the environment", "credentials: [{name: org, api_key: '${ROAM_API_KEY}'}]", 0o644, ""},
		{"no key", "listen: 127.0.0.1:8080", 0o644, ""},
		{"a client secret", fmt.Sprintf(oauth, "client_secret"), 0o644, "credentials[0].oauth.client_secret"},
		{"a refresh token", fmt.Sprintf(oauth, "refresh_token"), 0o644, "credentials[0].oauth.refresh_token"},
		{"a password of Redis", "redis: {url: 'rediss://:geheim-1@r'}", 0o644, "redis.url"},
		{"Redis without one", "redis: {url: 'rediss://r'}", 0o644, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			os.WriteFile(path, []byte(tt.text), 0o600)
			os.Chmod(path, tt.mode)
			l, err := Load(path, environ{"HOME": "/h", "ROAM_API_KEY": "rmk-from-outside"}.get, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(l.Warnings, "; ")
			if (got != "") != (tt.want != "") || !strings.Contains(got, tt.want) || tt.want != "" && !strings.Contains(got, path) ||
				strings.Contains(got, "geheim") {
				t.Errorf("warned of %q, want %q", got, tt.want)
			}
		})
	}
}

// Seen to fail with each of these accepted.
func TestRedisOverANetwork(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	os.WriteFile(password, []byte("geheim"), 0o600)
	for _, tt := range []struct{ name, redis, want string }{
		{"TLS", "url: 'rediss://:geheim@redis.example'", ""},
		{"TLS that is not verified", "url: 'rediss://redis.example?skip_verify=true'", "redis.url: skip_verify"},
		{"TLS that is not verified, in short", "url: 'rediss://redis.example?skip_verify'", "redis.url: skip_verify"},
		{"TLS that is not verified, on this machine", "url: 'rediss://127.0.0.1?skip_verify=1'", "redis.url: skip_verify"},
		{"TLS that is verified in so many words", "url: 'rediss://redis.example?skip_verify=false'", ""},
		{"TLS that is not verified, on purpose", "url: 'rediss://redis.example?skip_verify=true', insecure: true", ""},
		{"a password in the clear", "url: 'redis://:geheim@redis.example'", "redis.url: redis.example:6379 is another machine"},
		{"a user's password in the clear", "url: 'redis://u:geheim@10.0.0.1:7000'", "redis.url: 10.0.0.1:7000 is another machine"},
		{"a password from a file", "url: 'redis://redis.example', password_file: " + password,
			"redis.url: redis.example:6379 is another machine"},
		{"a second node on another machine", "url: 'redis://:geheim@127.0.0.1?addr=redis.example:1'",
			"redis.url: redis.example:1 is another machine"},
		{"a password, on purpose", "url: 'redis://:geheim@redis.example', insecure: true", ""},
		{"no password", "url: 'redis://redis.example'", ""},
		{"a password on this machine", "url: 'redis://:geheim@localhost'", ""},
		{"a password on this machine, by IPv6", "url: 'redis://:geheim@[::1]:6379'", ""},
		{"a password over a socket", "url: 'unix://:geheim@/run/redis.sock'", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadText(t, environ{"HOME": "/h", "ROAM_API_KEY": "rmk-x"}, "redis: {"+tt.redis+"}")
			if (err == nil) != (tt.want == "") ||
				err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "geheim")) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
