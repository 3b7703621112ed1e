package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"roamproxy/cmd/roamproxy/config"
)

// listen opens a TCP address or a Unix socket.
func listen(addr string) (net.Listener, error) {
	if path := config.SocketPath(addr); path != "" {
		return listenUnix(path)
	}
	return net.Listen("tcp", addr)
}

// listenError returns an error that names the setting of an address and how to change it.
func listenError(err error, key, addr string) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %w", key, err)
	}
	flag := strings.ReplaceAll(key, ".", "-")
	return fmt.Errorf("%s: %s is in use by another program; stop it, or choose another address with --%s, ROAMPROXY_%s or %s in the file",
		key, addr, flag, strings.ToUpper(strings.ReplaceAll(flag, "-", "_")), key)
}

// socketMode lets our user and the group connect, which on Linux needs write permission.
const socketMode = 0o660

// unixListener listens on a Unix socket. Close removes its file, unless another process has put its own there.
type unixListener struct {
	*net.UnixListener
	path  string
	file  os.FileInfo
	close sync.Once
}

// listenUnix creates the socket in a directory that only this user can enter, sets its mode there, and moves it to its path. So its
// permissions hold from the first moment. It replaces the file of a process that has ended, and not that of one that runs. The group
// of the socket is that of the process, or of the directory where that has the set-group-ID bit.
func listenUnix(path string) (_ *unixListener, err error) {
	if err := free(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".roamproxy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	s := &unixListener{UnixListener: l, path: path}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := os.Chmod(made, socketMode); err != nil {
		return nil, err
	}
	if s.file, err = os.Lstat(made); err != nil {
		return nil, err
	}
	return s, os.Rename(made, path)
}

// free returns an error unless the path is unused, or has the socket of a process that has ended.
func free(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket; remove it or choose another path", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return fmt.Errorf("another process already listens on %s", path)
	}
	return nil
}

// Addr returns the path where tools connect, not the one where the socket was created.
func (s *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close stops listening, and removes the file unless another process has put its own there.
func (s *unixListener) Close() error {
	s.close.Do(func() {
		if there, err := os.Lstat(s.path); err == nil && os.SameFile(there, s.file) {
			os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
