package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/url"
)

// setTarget makes out go to the upstream, with path and query byte for byte as the tool sent them. Opaque keeps net/url from writing
// the path anew.
func (p *Proxy) setTarget(out, in *http.Request) {
	out.URL = &url.URL{Scheme: p.o.Upstream.Scheme, Host: p.o.Upstream.Host, Opaque: target(in), RawQuery: in.URL.RawQuery,
		ForceQuery: in.URL.ForceQuery}
	out.Host, out.RequestURI, out.Close = "", "", false
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // or net/http would write its own
	}
}

// upstreamRequest is a tool's request as it goes to Roam. What it shares with the tool's must not be changed.
func (p *Proxy) upstreamRequest(ctx context.Context, r *http.Request) *http.Request {
	out := r.WithContext(ctx)
	out.Header = maps.Clone(r.Header)
	p.setTarget(out, r)
	return out
}
