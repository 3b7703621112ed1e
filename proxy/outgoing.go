package proxy

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
			h["Location"][i] = "http://" + v.r.Host + rest[len(to.Host):]
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

// outgoing is a tool's request as it goes to Roam. What it shares with the tool's must not be changed.
func (p *Proxy) outgoing(ctx context.Context, r *http.Request) *http.Request {
	out := r.WithContext(ctx)
	out.URL, out.Host, out.RequestURI, out.Header = p.address(r), "", "", maps.Clone(r.Header)
	out.Close = false
	strip(out.Header)
	return out
}

// unconditional takes away the conditions of a request whose answer others may get (RFC 9110, section 13).
func unconditional(h http.Header) {
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"} {
		h.Del(name)
	}
}
