package config

import (
	"net"
	"net/netip"
	"strings"
)

// SocketPath returns the path of an address such as unix:///run/roamproxy.sock, and "" for any other.
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

// Dialable returns the address at which this machine reaches a listener: on loopback where the listener is on all interfaces.
func Dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip.IsUnspecified() && ip.Is4():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
