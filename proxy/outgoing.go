package proxy

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// address is where a request goes: the upstream, with path and query byte for byte as the tool sent them. Opaque keeps net/url
// from writing the path anew.
func (p *Proxy) address(r *http.Request) *url.URL {
	u := &url.URL{Scheme: p.o.Upstream.Scheme, Host: p.o.Upstream.Host, Opaque: target(r), RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	return u
}

// strip takes away what is not for Roam: what belongs to the connection, who the tool is or says it is, what would let it
// speak for others, and what was said to roamproxy.
func strip(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for name := range h {
		switch name {
		case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
			"Authorization", "Cookie", "Forwarded", "Baggage", "X-Http-Method-Override", "Prefer", "Priority":
			delete(h, name)
			continue
		}
		if strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Roamproxy-") {
			delete(h, name)
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // or net/http would write its own
	}
}

// question is the request of a fill: the tool's, without what asks for less than the whole answer.
func (p *Proxy) question(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	out.URL, out.Host, out.RequestURI = p.address(r), "", ""
	out.Body, out.ContentLength, out.TransferEncoding, out.Trailer, out.Close = nil, 0, nil, nil, false
	strip(out.Header)
	return out
}

// unconditional takes away the conditions of a request whose answer others may get (RFC 9110, section 13).
func unconditional(h http.Header) {
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"} {
		h.Del(name)
	}
}

// patience is how long a tool may make no progress, with its body or in reading its answer.
const patience = 30 * time.Second

// upload is a tool's body: bounded in size, and in time without progress.
type upload struct {
	io.ReadCloser
	controller *http.ResponseController
}

func (u *upload) Read(p []byte) (int, error) {
	u.controller.SetReadDeadline(time.Now().Add(patience))
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		u.controller.SetReadDeadline(time.Time{}) // or net/http would take the deadline for the tool leaving
	}
	return n, err
}

// download is Roam's body on its way to a tool, which may take its time but not for ever.
type download struct {
	io.ReadCloser
	controller *http.ResponseController
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	d.controller.SetWriteDeadline(time.Now().Add(patience))
	return n, err
}
