package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// reload, pause, resume and purge act on the running process, and say what they did.
func TestCommandsOfARunningProcess(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	os.WriteFile(token, []byte("sesame\n"), 0o600)
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) { c.Admin.TokenFile = token })
	do(t, http.MethodGet, "http://"+r.Addr+"/v1/groups.list")
	env := environ{"ROAMPROXY_ADMIN_LISTEN": r.AdminAddr, "ROAMPROXY_ADMIN_TOKEN_FILE": token}
	for _, tt := range []struct {
		name string
		env  environ
		args []string
		code int
		want string
	}{
		{"purge", env, []string{"purge", "/v1/group*"}, exitOK, `"purged":1`},
		{"purge nonsense", env, []string{"purge", "["}, exitError, "nothing was changed: match: "},
		{"pause for too long", env, []string{"pause", "--max", "25h"}, exitError,
			"nothing was changed: {\"ok\":false,\"paused\":[],\"error\":\"max: want a duration"},
		{"pause an unknown quota", env, []string{"pause", "--quota", "nobody"}, exitError, "there is no quota of this name"},
		{"pause", env, []string{"pause", "--max", "7m"}, exitOK, `"paused":["roam"],"until":"`},
		{"top says so", env, []string{"top"}, exitOK, "PAUSED BY HAND for another 4"},
		{"resume what was paused", env, []string{"resume"}, exitOK, `"resumed":["roam"]`},
		{"resume", env, []string{"resume"}, exitOK, `"not_paused":["roam"]`},
		{"resume an unknown quota", env, []string{"resume", "--quota", "nobody"}, exitError, "there is no quota of this name"},
		{"reload without a file", env, []string{"reload"}, exitError, "nothing was changed"},
		{"without the token", environ{"ROAMPROXY_ADMIN_LISTEN": r.AdminAddr}, []string{"resume"}, exitError, "--token-file"},
		{"no process there", environ{"ROAMPROXY_ADMIN_LISTEN": "127.0.0.1:1"}, []string{"reload"}, exitError, "no roamproxy answers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if code, out, err := invoke(t, tt.env, tt.args...); code != tt.code || !strings.Contains(out+err, tt.want) {
				t.Errorf("exit %d, %s%s; want %d and %q", code, out, err, tt.code, tt.want)
			}
		})
	}
}
