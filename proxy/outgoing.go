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

// outgoing is a tool's request as it goes to Roam. What it shares with the tool's must not be changed.
func (p *Proxy) outgoing(ctx context.Context, r *http.Request) *http.Request {
	out := r.WithContext(ctx)
	out.URL, out.Host, out.RequestURI, out.Header = p.address(r), "", "", maps.Clone(r.Header)
	out.Close = false
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // or net/http would write its own
	}
	return out
}
