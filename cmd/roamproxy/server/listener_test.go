package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy/roamtest"
)

func TestAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roamproxy.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // as kill -9 leaves it
	group := os.Getgid()
	if groups, _ := os.Getgroups(); os.Geteuid() == 0 {
		group = 12345 // root may give it to any
	} else if len(groups) > 0 {
		group = groups[len(groups)-1]
	}
	r, _ := startServer(t, roamtest.Options{}, io.Discard, func(c *config.Config) { c.Listen, c.ListenGroup = "unix://"+path, strconv.Itoa(group) })
	info, err := os.Lstat(path)
	if err == nil && info.Sys().(*syscall.Stat_t).Gid != uint32(group) {
		t.Errorf("the socket is of group %d, want %d", info.Sys().(*syscall.Stat_t).Gid, group)
	}
	if err != nil || info.Mode() != os.ModeSocket|socketMode || r.Addr != path {
		t.Errorf("the socket: %v, %v, told as %s; want mode %v", info, err, r.Addr, os.FileMode(socketMode))
	}
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer c.CloseIdleConnections()
	res, err := c.Get("http://whatever/v1/groups.list")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.HasPrefix(string(body), "[") {
		t.Errorf("a call: %s %s", res.Status, body)
	}
	if _, err := listen("unix://"+path, ""); err == nil || !strings.Contains(err.Error(), "listens on "+path+" already") {
		t.Errorf("a second roamproxy: %v, want to be told of the first", err)
	}
	c.CloseIdleConnections()
	r.Stop(config.Limits{ShutdownGrace: config.Duration(2e9)})
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

func TestASocketIsNotTakenFromOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	os.WriteFile(path, []byte("a letter"), 0o600)
	if _, err := listen("unix://"+path, ""); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("over a file: %v", err)
	}
	os.Remove(path)
	if _, err := listen("unix://"+path, "no-such-group"); err == nil || !strings.Contains(err.Error(), "listen_group") {
		t.Errorf("for a group that is not there: %v", err)
	}
	first, err := listen("unix://"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	second, err := listen("unix://"+path, "")
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
		{"the tools' listener", addr, "127.0.0.1:0", "listen: " + addr + " is in use by another program; stop it, or choose another address with --listen, ROAMPROXY_LISTEN or listen in the file"},
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
