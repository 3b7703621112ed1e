package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

// BaseOptions says how the network is used.
type BaseOptions struct {
	MaxInFlight int
	CAFile      string     // certificates to trust besides the system's, such as an inspection proxy's; "": none
	Own         []net.Addr // where we listen ourselves
}

// NewBase is the network: a connection for every call that may be under way, kept alive, and no decoding of what Roam encoded.
// Certificates are checked, and TLS is of version 1.2 or later. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded. It never
// connects to ourselves.
func NewBase(o BaseOptions) (*http.Transport, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		trusted, err := Trust(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream.ca_file: %w", err)
		}
		secure.RootCAs = trusted
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err == nil && ourselves(to, o.Own) {
			return ErrLoop
		}
		return nil
	}} // the standard library's own habit, and less patience
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        secure,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           o.MaxInFlight,
		MaxIdleConnsPerHost:    o.MaxInFlight, // the default of 2 costs a new connection for nearly every call of a burst
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 256 << 10, // far above any answer's header, far below what would hurt
		ReadBufferSize:         32 << 10,  // most answers then come in one system call, with their header
		DisableCompression:     true,
	}, nil
}

// Trust is the system's certificates and those of a PEM file.
func Trust(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	trusted, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificates: %w", err)
	}
	if !trusted.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", file)
	}
	return trusted, nil
}

// ErrLoop says that a call to Roam would come to roamproxy again, and again.
var ErrLoop = errors.New("the upstream is roamproxy itself; set upstream.url to Roam's address")

// Loop tells whether the upstream's name leads to one of our own addresses. A name that cannot be resolved now is no loop: it is
// looked at again whenever a connection is made.
func Loop(ctx context.Context, upstream *url.URL, own []net.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, port, _ := net.SplitHostPort(hostPort(upstream))
	number, _ := strconv.ParseUint(port, 10, 16)
	found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", upstream.Hostname())
	for _, ip := range found {
		if ourselves(netip.AddrPortFrom(ip, uint16(number)), own) {
			return ErrLoop
		}
	}
	return nil
}

// ourselves tells whether one of own is reached at to. A listener on every address is reached at each of the machine's.
func ourselves(to netip.AddrPort, own []net.Addr) bool {
	for _, addr := range own {
		tcp, ok := addr.(*net.TCPAddr)
		if !ok || tcp.Port != int(to.Port()) {
			continue
		}
		ip := to.Addr().Unmap()
		if listening := tcp.AddrPort().Addr().Unmap(); listening == ip || listening.IsUnspecified() && local(ip) {
			return true
		}
	}
	return false
}

// local tells whether an address is one of this machine's.
func local(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == ip.WithZone("") {
			return true
		}
	}
	return false
}
