package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// health finds the listener as serve does: by flag, environment or file, also for a listener on all interfaces.
func TestHealthFindsTheAdminListener(t *testing.T) {
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	_, port, _ := net.SplitHostPort(r.AdminAddr)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name string
		env  environ
		args []string
		code int
		want string
	}{
		{"the environment", environ{"ROAMPROXY_ADMIN_LISTEN": r.AdminAddr}, nil, exitOK, "healthy"},
		{"all interfaces", environ{"ROAMPROXY_ADMIN_LISTEN": "0.0.0.0:" + port}, nil, exitOK, "healthy"},
		{"no interface named", environ{"ROAMPROXY_ADMIN_LISTEN": ":" + port}, nil, exitOK, "healthy"},
		{"the file of the environment", environ{"ROAMPROXY_CONFIG": file("admin: {listen: " + r.AdminAddr + "}\n")}, nil, exitOK, "healthy"},
		{"the file of a flag", nil, []string{"-config", file("admin: {listen: " + r.AdminAddr + "}\n")}, exitOK, "healthy"},
		{"a file that has a mistake by now", nil, []string{"-config", file("listn: x\nadmin: {listen: " + r.AdminAddr + "}\n")}, exitOK,
			"healthy"},
		{"a flag", environ{"ROAMPROXY_ADMIN_LISTEN": "127.0.0.1:1"}, []string{"-admin-listen", r.AdminAddr}, exitOK, "healthy"},
		{"an address", nil, []string{"-url", "http://" + r.AdminAddr + "/healthz"}, exitOK, "healthy"},
		{"another address", environ{"ROAMPROXY_ADMIN_LISTEN": "127.0.0.1:1"}, nil, exitError, "not healthy"},
		{"no file", nil, []string{"-config", "/nonexistent"}, exitError, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if code, out, err := invoke(t, tt.env, append([]string{"health"}, tt.args...)...); code != tt.code ||
				!strings.Contains(out+err, tt.want) {
				t.Errorf("exit %d, %s%s; want %d and %q", code, out, err, tt.code, tt.want)
			}
		})
	}
}
