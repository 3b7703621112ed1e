package config

import (
	"net"
	"net/netip"
	"strings"
)

// SocketPath returns the path in an address such as unix:///run/roamproxy.sock, or "" in any other.
func SocketPath(addr string) string {
	path, ok := strings.CutPrefix(addr, "unix://")
	if !ok {
		return ""
	}
	return path
}

// IsLoopback reports whether only this machine can connect.
func IsLoopback(addr string) bool {
	if SocketPath(addr) != "" {
		return true
	}
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
