package e2e

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// FuzzHostileAnswer checks that the credential is in no answer, page, metric or line of the log, whatever an upstream answers. KEY, HEX,
// B64, PCT, JSON and HTML in the input stand for forms of the credential.
func FuzzHostileAnswer(f *testing.F) {
	for _, answer := range hostileAnswers {
		f.Add([]byte(answer))
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n\x1f\x8bKEY"))
	f.Add([]byte("HTTP/1.1 499 \r\nConnection: close\r\n\r\n%KEY\\KEY&KEY;\x00K"))
	var current atomic.Pointer[string]
	upstream := newHostile(f, func(string) string { return *current.Load() })
	var log servertest.Buffer
	r, _ := servertest.Start(f, roamtest.Options{}, &log, func(c *config.Config) {
		c.Upstream.URL, c.Log.Level = upstream.url(), "debug"
		c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].Jitter = 1e5, 1e5, 0
		c.Quotas[0].MaxWait, c.Upstream.Timeout = config.Duration(10*time.Millisecond), config.Duration(time.Second) // no call waits for a pause
		c.Credentials[0].APIKey = credential.NewSecret(hostileKey)
	})
	f.Fuzz(func(t *testing.T, answer []byte) {
		text := string(answer)
		for form, written := range forms(hostileKey) {
			text = strings.ReplaceAll(text, form, written)
		}
		if len(text) > 64<<10 || bytes.Contains(answer, []byte("rmk-")) {
			return // the input itself has a part of the key
		}
		current.Store(&text)
		var out output
		out.raw(r.Addr, "POST /v1/x.get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		out.raw(r.AdminAddr, "POST /api/resume HTTP/1.1\r\nHost: localhost\r\nRoamproxy-Admin: 1\r\nContent-Length: 0\r\nConnection: "+
			"close\r\n\r\n")
		for _, page := range []string{"/readyz?verbose", "/api/status", "/", "/metrics"} {
			out.raw(r.AdminAddr, "GET "+page+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		}
		io.WriteString(&out, log.Drain())
		if form := holds(out.String(), hostileKey); form != "" {
			t.Errorf("%q: %s of the key is shown: %s", text, form, out.String())
		}
	})
}
