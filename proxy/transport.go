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

// TransportOptions configures a Transport.
type TransportOptions struct {
	MaxInFlight int
	CAFile      string     // PEM file of certificates to trust besides the system's, such as an inspection proxy's; "": none
	Own         []net.Addr // addresses of roamproxy's own listeners
}

// Transport is the network between roamproxy and Roam or Roam's OAuth server. It is safe for concurrent use.
//
// A call that fails closes the idle connections too. What broke one connection, such as a changed network, has probably broken the others,
// and each would fail a later call. So only the calls in flight fail.
type Transport struct{ *http.Transport }

// idleConnTimeout closes idle connections. A connection that a firewall has dropped looks alive until a call on it fails. At one call a
// second a connection stays in use; after a break the next call makes a new one, in about 100 ms. net/http measures the time by the wall
// clock, so it includes a suspend of the machine.
const idleConnTimeout = 5 * time.Second

// keepAlive finds a dead peer within a minute. Event streams have no other bound.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}

// NewTransport returns a Transport. It speaks HTTP/1.1 only: over HTTP/2, net/http repeats requests by itself, keeps using a silent
// connection, and fails writes when a server retires a connection. For ten calls in flight HTTP/2 would gain nothing.
//
// It keeps one connection for each call that may be in flight, and decompresses nothing. It checks certificates, and uses TLS 1.2 or later.
// It follows HTTPS_PROXY, HTTP_PROXY and NO_PROXY. It never connects to an address of Own.
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
		MaxResponseHeaderBytes: 256 << 10, // far above any response header in use; ten of them take 2.5 MiB
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

// networkBody is the body of a response. When reading it fails, it closes the idle connections.
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

// TrustedCerts returns the system's certificates and those of a PEM file.
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

// ErrLoop reports that a call to Roam would arrive at roamproxy itself.
var ErrLoop = errors.New("the upstream is roamproxy itself; set upstream.url to Roam's address")

// CheckLoop returns ErrLoop if the upstream's name resolves to an address of own. A name that cannot be resolved now is no loop:
// NewTransport checks again at each connection.
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

// isOwnListener reports whether to is the address of one of own. A listener on the unspecified address has all addresses of the machine.
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

// isLocalAddress reports whether an address belongs to this machine.
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
