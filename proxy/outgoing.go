package proxy

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// address is where a request goes: the upstream, with path and query byte for byte as the tool sent them. Opaque keeps net/url
// from writing the path anew.
func (p *Proxy) address(r *http.Request) *url.URL {
	u := &url.URL{Scheme: p.o.Upstream.Scheme, Host: p.o.Upstream.Host, Opaque: target(r), RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	return u
}

// hops takes away what belongs to one connection (RFC 9110, section 7.6.1).
func hops(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Proxy-Authenticate"} {
		delete(h, name)
	}
}

// hand adds the header fields of an answer of the cache's, which others have too, to those of this one.
func (p *Proxy) hand(to, from http.Header, v *visit) {
	for name, values := range from {
		switch {
		case name == "Location":
			to[name] = slices.Clone(values)
		case forPages(name): // in to are our own
		case to[name] == nil:
			to[name] = values
		default:
			to[name] = append(to[name], values...)
		}
	}
	p.returned(to, v)
}

// forPages tells whether a field says which web pages may read an answer. Roam's would be about its own address: next to ours,
// a browser would heed neither.
func forPages(name string) bool { return strings.HasPrefix(name, "Access-Control-") }

// returned makes Roam's header fields fit for the tool. A cookie would be the credential's session, which is no tool's; a
// redirect that stays with Roam leads to the address that the tool called, any other is its own to follow or not.
func (p *Proxy) returned(h http.Header, v *visit) {
	delete(h, "Set-Cookie")
	for i, location := range h["Location"] {
		to, err := url.Parse(location)
		if err != nil || to.User != nil || to.Host == "" {
			continue
		}
		_, rest, _ := strings.Cut(location, "//")
		if to.Scheme == "" {
			to.Scheme = p.o.Upstream.Scheme // that of the address which redirects
		}
		if strings.EqualFold(to.Scheme, p.o.Upstream.Scheme) && hostPort(to) == hostPort(p.o.Upstream) {
			h["Location"][i] = "http://" + v.host + rest[len(to.Host):]
		}
	}
}

// hostPort is an origin's host as it compares, with the port that its scheme implies.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// narrow leaves gzip in Accept-Encoding and nothing else: an error may repeat the credential, and must be readable to be
// cleared of it.
func narrow(h http.Header) {
	values := h["Accept-Encoding"]
	delete(h, "Accept-Encoding")
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(part, " ", "")), ";")
		if refused := strings.Trim(strings.TrimPrefix(weight, "q="), "0.") == "" && weight != ""; (coding == "gzip" || coding == "*") && !refused {
			h["Accept-Encoding"] = []string{"gzip"}
			return
		}
	}
}

// strip takes away what is not for Roam: what belongs to the connection, who the tool is or says it is, what would let it
// speak for others or call another method or path than the one that was allowed, and what was said to roamproxy, such as Expect:
// the body is here already when a call leaves.
func strip(h http.Header) {
	hops(h)
	narrow(h)
	for name := range h {
		switch name {
		case "Authorization", "Cookie", "Forwarded", "X-Real-Ip", "Baggage", "Prefer", "Priority", "Expect",
			"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url":
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

// leastPace is how fast a tool must send and read at least, over the whole of a body and besides its patience, in bytes a second:
// half a megabit. A tool that reads an answer drop by drop holds a slot of everybody's.
const leastPace = 64 << 10

// pace measures a tool's own share of the time that a body takes.
type pace struct {
	bytes int64
	spent time.Duration
}

// deadline is until when the tool must have taken or sent the next piece.
func (p *pace) deadline(now time.Time) time.Time {
	allowed := patience + time.Duration(p.bytes/leastPace)*time.Second - p.spent
	return now.Add(min(allowed, patience))
}

// upload is a tool's body: bounded in size, and in time.
type upload struct {
	io.ReadCloser
	controller *http.ResponseController
	pace       pace
}

func (u *upload) Read(p []byte) (int, error) {
	begun := time.Now()
	u.controller.SetReadDeadline(u.pace.deadline(begun))
	n, err := u.ReadCloser.Read(p)
	u.pace.bytes, u.pace.spent = u.pace.bytes+int64(n), u.pace.spent+time.Since(begun)
	if err == io.EOF { // after any other error net/http reads on, to see whether the rest is worth the connection
		u.controller.SetReadDeadline(time.Time{}) // or net/http would take the deadline for the tool leaving
	}
	return n, err
}

// download is Roam's body on its way to a tool, which may take its time but not for ever. What passes between two reads is the
// tool's time; what a read takes is Roam's.
type download struct {
	io.ReadCloser
	controller *http.ResponseController
	pace       pace
	handed     time.Time // when the tool got the last piece
}

func (d *download) Read(p []byte) (int, error) {
	if !d.handed.IsZero() {
		d.pace.spent += time.Since(d.handed)
	}
	n, err := d.ReadCloser.Read(p)
	d.handed = time.Now()
	d.pace.bytes += int64(n)
	d.controller.SetWriteDeadline(d.pace.deadline(d.handed))
	return n, err
}
