package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

// TransportOptions says how the network is used.
type TransportOptions struct {
	MaxInFlight int
	CAFile      string     // certificates to trust besides the system's, such as an inspection proxy's; "": none
	Own         []net.Addr // where we listen ourselves
}

// Transport is the network between roamproxy and Roam or Roam's OAuth server. It is safe for concurrent use.
//
// A call that fails closes the idle connections too: what ended one of them, such as a changed network or a balancer that went
// away, has most likely ended the others, and each would cost a call. So only calls that are in flight fail.
type Transport struct{ *http.Transport }

// Of an idle connection that a firewall or a balancer forgot, nothing shows until a call is lost on it. So one that was idle for
// longer than this is closed. At the usual call a second one connection stays in use; after a rest the next call makes a new one,
// for some 100 ms. net/http measures it by the wall clock, so that it holds over a suspend too.
const idleConnTimeout = 5 * time.Second

// keepAlive finds a peer that is gone within a minute. Event streams have no other bound.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}

// NewTransport makes a Transport. It speaks HTTP/1.1 alone: over HTTP/2 net/http repeats requests by itself, goes on using a
// connection that is silent, and fails writes when a server retires one. For ten calls in flight HTTP/2 would gain nothing.
//
// It keeps a connection for every call that may be in flight and decodes nothing. Certificates are checked, TLS is 1.2 or later.
// HTTPS_PROXY, HTTP_PROXY and NO_PROXY are used. It never connects to an address of Own.
func NewTransport(o TransportOptions) (*Transport, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		trusted, err := TrustedCerts(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream.ca_file: %w", err)
		}
		secure.RootCAs = trusted
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: keepAlive,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err == nil && isOwnListener(to, o.Own) {
				return ErrLoop
			}
			return nil
		}}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Transport{&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        secure,
		Protocols:              protocols,
		MaxIdleConns:           o.MaxInFlight,
		MaxIdleConnsPerHost:    o.MaxInFlight, // the default of 2 costs a new connection for nearly every call of a burst
		IdleConnTimeout:        idleConnTimeout,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 256 << 10, // far above any response's header, far below what would hurt
		DisableCompression:     true,
	}}, nil
}

// RoundTrip sends a request once.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.Transport.RoundTrip(req)
	if err != nil {
		t.CloseIdleConnections()
		return nil, err
	}
	if res.Body != http.NoBody {
		res.Body = &networkBody{res.Body, t}
	}
	return res, nil
}

// networkBody is a response's body, whose failure is one of the network.
type networkBody struct {
	io.ReadCloser
	transport *Transport
}

func (b *networkBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.transport.CloseIdleConnections()
	}
	return n, err
}

// TrustedCerts is the system's certificates and those of a PEM file.
func TrustedCerts(file string) (*x509.CertPool, error) {
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

// CheckLoop reports whether the upstream's name leads to one of our own addresses. A name that cannot be resolved now is no loop: it is
// looked at again whenever a connection is made.
func CheckLoop(ctx context.Context, upstream *url.URL, own []net.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, port, _ := net.SplitHostPort(hostPort(upstream))
	number, _ := strconv.ParseUint(port, 10, 16)
	found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", upstream.Hostname())
	for _, ip := range found {
		if isOwnListener(netip.AddrPortFrom(ip, uint16(number)), own) {
			return ErrLoop
		}
	}
	return nil
}

// isOwnListener reports whether one of own is reached at to. A listener on every address is reached at each of the machine's.
func isOwnListener(to netip.AddrPort, own []net.Addr) bool {
	for _, addr := range own {
		tcp, ok := addr.(*net.TCPAddr)
		if !ok || tcp.Port != int(to.Port()) {
			continue
		}
		ip := to.Addr().Unmap()
		if listening := tcp.AddrPort().Addr().Unmap(); listening == ip || listening.IsUnspecified() && isLocalAddress(ip) {
			return true
		}
	}
	return false
}

// isLocalAddress reports whether an address is one of this machine's.
func isLocalAddress(ip netip.Addr) bool {
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
