package server

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
)

func TestASocketIsNotTakenFromOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	os.WriteFile(path, []byte("content"), 0o600)
	if _, err := listen("unix://" + path); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("over a file: %v", err)
	}
	os.Remove(path)
	first, err := listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	second, err := listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the end of the first takes the second's socket away: %v", err)
	}
}

func TestAPortInUseNamesTheSettingAndTheFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for _, tt := range []struct{ name, listen, admin, want string }{
		{"the tools' listener", addr, "127.0.0.1:0", "listen: " + addr + " is in use by another program; stop it, or choose another address " +
			"with --listen, ROAMPROXY_LISTEN or listen in the file"},
		{"the admin listener", "127.0.0.1:0", addr, "--admin-listen, ROAMPROXY_ADMIN_LISTEN or admin.listen in the file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default(func(string) string { return "rmk-x" })
			c.Listen, c.Admin.Listen, c.StateDir = tt.listen, tt.admin, t.TempDir()
			if _, err := Start(c, NewLog(c.Log, io.Discard), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
