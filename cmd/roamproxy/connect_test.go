package main

import (
	"strings"
	"testing"

	"roamproxy/proxy/roamtest"
)

func TestCheckConnect(t *testing.T) {
	for _, tt := range []struct {
		name  string
		key   string
		fault []roamtest.Fault
		code  int
		want  []string
	}{
		{"a key that is good", roamtest.DefaultKey, nil, exitOK, []string{`workspace  "Example Ltd."`, `"chat:read"`,
			"quota      roam: 10 at once, then 1 a second"}},
		{"a key that Roam refuses", "rmk-wrong", nil, exitError, []string{"credential org: answered 401 by Roam: the key is wrong"}},
		{"a quota that is spent", roamtest.DefaultKey, []roamtest.Fault{roamtest.Throttle("7")}, exitError, []string{"429", "try again in 7 s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			roam := roamtest.NewServer(roamtest.Options{})
			defer roam.Close()
			roam.Script(tt.fault...)
			env := environ{"ROAM_API_KEY": tt.key, "ROAMPROXY_UPSTREAM_URL": roam.URL, "HOME": t.TempDir()}
			code, out, err := invoke(t, env, "check", "-connect")
			for _, want := range tt.want {
				if code != tt.code || !strings.Contains(out+err, want) {
					t.Errorf("exit %d, want %d and %q in\n%s%s", code, tt.code, want, out, err)
				}
			}
			if strings.Contains(out+err, tt.key) || len(roam.Journal()) != 1 {
				t.Errorf("the key is shown, or there were %d calls; want it hidden and one call", len(roam.Journal()))
			}
		})
	}
	code, _, err := invoke(
		t,
		environ{"ROAM_API_KEY": "x", "ROAMPROXY_UPSTREAM_URL": "http://127.0.0.1:1", "HOME": t.TempDir()},
		"check",
		"-connect",
	)
	if code != exitError || !strings.Contains(err, "no connection to Roam") {
		t.Errorf("without a server: exit %d, %s", code, err)
	}
}
