package e2e

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/e2e/faultnet"
)

// Where there is no Roam, or another server in its place, nothing is sent.
//
// Seen to fail without the check of certificates.
func TestFaultsBeforeAConnection(t *testing.T) {
	impostor := httptest.NewTLSServer(nil)
	defer impostor.Close()
	handshake := func(most uint16) faultnet.Fault {
		return func(near, _ *net.TCPConn) {
			tls.Server(near, &tls.Config{Certificates: impostor.TLS.Certificates, MaxVersion: most}).Handshake()
		}
	}
	secure := func(c *config.Config) { c.Upstream.URL = strings.Replace(c.Upstream.URL, "http:", "https:", 1) }
	for _, tt := range []struct {
		name   string
		fault  faultnet.Fault
		change func(*config.Config)
		want   string
	}{
		{"a name that does not exist", nil, func(c *config.Config) { c.Upstream.URL = "https://nowhere.invalid" },
			"502 not sent or 504 not sent"},
		{"no listener", nil, func(c *config.Config) { c.Upstream.URL = "http://127.0.0.1:1" }, "502 not sent"},
		{"a server without TLS", faultnet.Say("HTTP/1.1 400 Bad Request\r\n\r\n"), secure, "502 not sent"},
		{"a certificate of an unknown authority", handshake(0), secure, "502 not sent"},
		{"an old version of TLS", handshake(tls.VersionTLS11), secure, "502 not sent"},
		{"an alert of TLS", faultnet.Say("\x15\x03\x01\x00\x02\x02\x28"), secure, "502 not sent"},
		{"a handshake that stalls", faultnet.Stall, secure, "504 not sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newFaultHarness(t, tt.change)
			since := p.reached()
			for _, method := range []string{"POST", "GET"} {
				p.behind.Next(tt.fault)
				if got := p.call(method, "/v1/meeting.search", ""); !slices.Contains(strings.Split(tt.want, " or "), got) {
					t.Errorf("the tool got %s for a %s, want %s", got, method, tt.want)
				}
			}
			p.expectClean()
			if now := p.reached(); now != since {
				t.Errorf("Roam saw %d calls and %d were counted, want none", now.seen-since.seen, now.counted-since.counted)
			}
		})
	}
}
