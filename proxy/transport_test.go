package proxy

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// fetched makes a request with a new Transport, and returns its error.
func fetched(t *testing.T, o TransportOptions, address string) error {
	t.Helper()
	base, err := NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	defer base.CloseIdleConnections()
	req, _ := http.NewRequest("GET", address, nil)
	res, err := base.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
	return err
}

func TestTheTransportChecksCertificates(t *testing.T) {
	serve := func(most uint16) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.TLS = &tls.Config{MaxVersion: most}
		s.Config.ErrorLog = nil
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	modern, old := serve(tls.VersionTLS13), serve(tls.VersionTLS11)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: modern.Certificate().Raw}), 0o600)
	if err := fetched(t, TransportOptions{}, modern.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a self-signed certificate: %v, want an error that names it", err)
	}
	if err := fetched(t, TransportOptions{CAFile: ca}, modern.URL); err != nil {
		t.Errorf("one that ca_file names: %v, want it accepted", err)
	}
	if err := fetched(t, TransportOptions{CAFile: ca}, old.URL); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("TLS 1.1: %v, want an error that names the version", err)
	}
	os.WriteFile(ca, []byte("no certificate"), 0o600)
	if _, err := NewTransport(TransportOptions{CAFile: ca}); err == nil ||
		!strings.Contains(err.Error(), "upstream.ca_file: there is no certificate in "+ca) {
		t.Errorf("a file without a certificate: %v, want an error that names it", err)
	}
	if _, err := NewTransport(TransportOptions{CAFile: ca + "?"}); err == nil {
		t.Error("a missing file is accepted, want an error")
	}
}

func TestAnUpstreamThatIsRoamproxyItself(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	addr := server.Listener.Addr().(*net.TCPAddr)
	everywhere := &net.TCPAddr{IP: net.IPv6unspecified, Port: addr.Port}
	for _, tt := range []struct {
		name, host string
		own        net.Addr
		loop       bool
	}{
		{"by address", "127.0.0.1", addr, true},
		{"by name", "localhost", addr, true},
		{"by an address of the machine", "127.0.0.1", everywhere, true},
		{"another port", "127.0.0.1", &net.TCPAddr{IP: addr.IP, Port: addr.Port + 1}, false},
		{"another address", "127.0.0.1", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: addr.Port}, false},
		{"a Unix socket", "127.0.0.1", &net.UnixAddr{Name: "/x"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upstream := &url.URL{Scheme: "http", Host: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(addr.Port)).String()}
			upstream.Host = strings.Replace(upstream.Host, "127.0.0.1", tt.host, 1)
			if err := CheckLoop(t.Context(), upstream, []net.Addr{tt.own}); errors.Is(err, ErrLoop) != tt.loop {
				t.Errorf("%s, at start: %v, want a loop = %v", tt.name, err, tt.loop)
			}
			if err := fetched(t, TransportOptions{Own: []net.Addr{tt.own}}, upstream.String()); errors.Is(err, ErrLoop) != tt.loop {
				t.Errorf("%s, when it connects: %v, want a loop = %v", tt.name, err, tt.loop)
			}
		})
	}
	if err := CheckLoop(t.Context(), &url.URL{Scheme: "https", Host: "roam.invalid"}, []net.Addr{addr}); err != nil {
		t.Errorf("an unknown name: %v, want no loop", err)
	}
}

// Calls to a server that offers HTTP/2 use HTTP/1.1, and successive calls share a connection.
func TestHTTP1WhereHTTP2IsOffered(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	var conns atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)
	transport, err := NewTransport(TransportOptions{MaxInFlight: 10, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	for range 20 {
		req, _ := http.NewRequest("GET", server.URL+"/v1/groups.list", nil)
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != "HTTP/1.1" {
			t.Errorf("the call used %s, want HTTP/1.1", body)
		}
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("20 calls took %d connections, want 1", got)
	}
}
