package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// White space that editors, echo and env files add around a key is removed, wherever the key comes from.
//
// Seen to fail with literals, which were sent with their line break.
func TestAKeyIsTrimmed(t *testing.T) {
	for name, given := range map[string]string{"a line break": "rmk-x\n", "CRLF": "rmk-x\r\n", "spaces": "  rmk-x \t",
		"a byte order mark": "\ufeffrmk-x"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, []byte(given), 0o600); err != nil {
				t.Fatal(err)
			}
			for where, text := range map[string]string{
				"literal": "credentials: [{name: org, api_key: \"" + strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t",
					`\t`).Replace(given) + "\"}]",
				"environment": "", "file": "credentials: [{name: org, api_key_file: " + file + "}]",
			} {
				l, err := loadText(t, environ{"HOME": "/h", "ROAM_API_KEY": given}, text)
				if err != nil {
					t.Errorf("%s: %v", where, err)
				} else if got := l.Credentials[0].APIKey.Reveal(); where != "file" && got != "rmk-x" {
					t.Errorf("%s: the key is %q, want rmk-x", where, got)
				}
			}
		})
	}
}

// An unusable key is a mistake that names the setting and the probable cause, and never shows the key.
//
// Seen to fail without validation: check and serve accepted all of them, and every call failed.
func TestAnUnusableKeyIsAMistake(t *testing.T) {
	for _, tt := range []struct{ name, key, want string }{
		{"blank", "   ", "there is no API key"},
		{"double quotes", `"rmk-geheim"`, "is in quotes"},
		{"single quotes", "'rmk-geheim'", "is in quotes"},
		{"one quote", `rmk-geheim"`, "is in quotes"},
		{"Bearer", "Bearer rmk-geheim", "starts with Bearer: give the key alone"},
		{"bearer and a tab", "bearer\trmk-geheim", "holds a space, a control character"},
		{"an inner space", "rmk- geheim", "holds a space"},
		{"an inner line break", "rmk-\ngeheim", "a control character"},
		{"a letter beyond ASCII", "rmk-gehéim", "a letter beyond ASCII"},
		{"a placeholder", "<geheim>", "is a placeholder"},
		{"with its variable", "ROAM_API_KEY=rmk-geheim", "the name of a variable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, []byte(tt.key), 0o600); err != nil {
				t.Fatal(err)
			}
			literal := "credentials: [{name: org, api_key: '" + strings.ReplaceAll(tt.key, "'", "''") + "'}]"
			for where, given := range map[string][2]string{
				"credentials[0].api_key:":      {literal, ""},
				"$ROAM_API_KEY: credentials[0": {"", tt.key},
				"credentials[0].api_key_file:": {"credentials: [{name: org, api_key_file: " + file + "}]", ""},
			} {
				if strings.Contains(tt.key, "\n") && given[0] == literal {
					continue // YAML folds it into a space
				}
				want := tt.want
				if tt.name == "blank" && strings.Contains(given[0], "file") {
					want = "is empty"
				}
				_, err := loadText(t, environ{"HOME": "/h", "ROAM_API_KEY": given[1]}, given[0])
				if err == nil || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geh") {
					t.Errorf("%s: %v, want %q without the key", where, err, want)
				}
			}
		})
	}
}

func TestAnUnusableFileIsAMistake(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a missing key", "credentials: [{name: org, api_key_file: /nonexistent/key}]",
			"c.yaml:1: credentials[0].api_key_file: open /nonexistent/key: no such file"},
		{"an empty key", "credentials: [{name: org, api_key_file: " + empty + "}]",
			"credentials[0].api_key_file: " + empty + ": the secret is empty"},
		{"a directory", "credentials: [{name: org, api_key_file: " + dir + "}]", "credentials[0].api_key_file: read " + dir},
		{"a missing tool token", "tools: [{name: a, token_file: /nonexistent/t}]", "tools[0].token_file: open /nonexistent/t"},
		{"a missing admin token", "admin: {token_file: /nonexistent/a}", "admin.token_file: open /nonexistent/a"},
		{"a missing client secret", "credentials: [{name: a, oauth: {client_id: x, client_secret_file: /nonexistent/c}}]",
			"credentials[0].oauth.client_secret_file: open"},
		{"an empty refresh token", "credentials: [{name: a, oauth: {client_id: x, refresh_token_file: " + empty + "}}]",
			"refresh_token_file: " + empty + ": the secret is empty"},
		{"a missing password", "redis: {url: 'rediss://r', password_file: /nonexistent/p}", "redis.password_file: open /nonexistent/p"},
		{"a missing authority", "upstream: {ca_file: /nonexistent/ca}", "upstream.ca_file: open /nonexistent/ca"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := loadText(t, home(), tt.text); err == nil || !strings.Contains(err.Error(), tt.want) ||
				strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("%v, want one mistake: %s", err, tt.want)
			}
			path := filepath.Join(t.TempDir(), "c.yaml")
			os.WriteFile(path, []byte(tt.text), 0o600)
			if _, err := LoadWithoutFiles(path, home().get, nil); err != nil {
				t.Errorf("without the files: %v", err)
			}
		})
	}
}
