package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// Seen to fail without validation of literal keys: the reload succeeded, every call failed, and readiness was green.
func TestAReloadWithAnUnusableKeyChangesNothing(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	before := c.Config()
	empty := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]string{
		"a literal with Bearer": "api_key: Bearer rmk-test", "a quoted literal": `api_key: '"rmk-test"'`,
		"an empty file": "api_key_file: " + empty,
		"no file":       "api_key_file: /nonexistent/key",
	} {
		t.Run(name, func(t *testing.T) {
			c.write(t, fmt.Sprintf("credentials: [{name: org, %s}]\n", credential))
			status, mistakes := c.postReload(t, client(t))
			if status != 400 || len(mistakes) != 1 || !strings.Contains(mistakes[0], "credentials[0].api_key") ||
				!reflect.DeepEqual(c.Config(), before) {
				t.Errorf("got %d %q, want 400, one mistake, and the old configuration", status, mistakes)
			}
			if got := post(client(t), "http://"+c.Addr); got != 200 {
				t.Errorf("a call is answered %d, want 200", got)
			}
		})
	}
}

// Seen to fail with a log of changes after the first check alone.
func TestChecksThatFailAtTheStartAreLogged(t *testing.T) {
	var log servertest.Buffer
	r, _ := servertest.Start(t, roamtest.Options{}, &log, func(c *config.Config) {
		c.Credentials[0].APIKey = config.Credential{}.APIKey
		c.Credentials[0].OAuth = config.OAuth{ClientID: "app", TokenURL: "http://127.0.0.1:1/oauth/token"}
	})
	eventually(t, "an ERROR that names the credential", func() bool {
		return strings.Contains(log.String(), `"level":"error"`) && strings.Contains(log.String(), `"check":"credential org"`)
	})
	if res, _ := get(t, client(t), "http://"+r.AdminAddr+"/readyz"); res.StatusCode != 503 {
		t.Errorf("readyz is %d, want 503", res.StatusCode)
	}
}

// A key file becomes unusable while roamproxy runs. The log has one ERROR, readiness is red, and the last good key is used.
func TestAKeyFileThatBecomesUnusableIsLoggedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(roamtest.DefaultKey)
	var log servertest.Buffer
	r, _ := servertest.Start(t, roamtest.Options{}, &log, func(c *config.Config) {
		c.Credentials[0].APIKey, c.Credentials[0].APIKeyFile = config.Credential{}.APIKey, file
	})
	tools := client(t)
	get(t, tools, "http://"+r.Addr+"/v1/meeting.search")
	write(`"` + roamtest.DefaultKey + `"`)
	eventually(t, "readiness is red", func() bool {
		res, body := get(t, tools, "http://"+r.AdminAddr+"/readyz")
		return res.StatusCode == 503 && strings.Contains(body, "is in quotes")
	})
	eventually(t, "an ERROR", func() bool { return strings.Contains(log.String(), "is in quotes") })
	if res, _ := get(t, tools, "http://"+r.Addr+"/v1/meeting.search"); res.StatusCode != 200 {
		t.Errorf("a call with the last good key is answered %d, want 200", res.StatusCode)
	}
	if n := strings.Count(log.String(), `"level":"error"`); n != 1 {
		t.Errorf("%d ERROR lines, want 1:\n%s", n, log.String())
	}
}
