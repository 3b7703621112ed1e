package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
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
		group = 12345 // root may use any group
	} else if len(groups) > 0 {
		group = groups[len(groups)-1]
	}
	if err := errors.Join(os.Chown(filepath.Dir(path), -1, group), os.Chmod(filepath.Dir(path), 0o750|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	var settings config.Config
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
		c.Listen = "unix://" + path
		settings = *c
	})
	const mode = os.ModeSocket | 0o660
	info, err := os.Lstat(path)
	if err == nil && info.Sys().(*syscall.Stat_t).Gid != uint32(group) {
		t.Errorf("the socket is of group %d, want %d", info.Sys().(*syscall.Stat_t).Gid, group)
	}
	if err != nil || info.Mode() != mode || r.Addr != path {
		t.Errorf("the socket: %v, %v, reported as %s; want mode %v and %s", info, err, r.Addr, mode, path)
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
	_, err = server.Start(settings, server.NewLog(settings.Log, io.Discard), nil)
	if err == nil || !strings.Contains(err.Error(), "already listens on "+path) {
		t.Errorf("a second roamproxy: %v, want an error that names the first", err)
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
