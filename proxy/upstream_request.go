package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/url"
)

// setTarget addresses out to the upstream, with path and query byte for byte as the tool sent them. Opaque prevents net/url from
// encoding the path again.
func (p *Proxy) setTarget(out, in *http.Request) {
	out.URL = &url.URL{Scheme: p.o.Upstream.Scheme, Host: p.o.Upstream.Host, Opaque: target(in), RawQuery: in.URL.RawQuery,
		ForceQuery: in.URL.ForceQuery}
	out.Host, out.RequestURI, out.Close = "", "", false
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // or net/http would write its own
	}
}

// upstreamRequest returns the request to Roam for a tool's request. It shares everything but the header with r.
func (p *Proxy) upstreamRequest(ctx context.Context, r *http.Request) *http.Request {
	out := r.WithContext(ctx)
	out.Header = maps.Clone(r.Header)
	p.setTarget(out, r)
	return out
}
