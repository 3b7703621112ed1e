package proxy

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard refuses web pages, and requests that other servers could read in another way. It reads the first line and the header alone, so
// a refusal costs no token.
type guard struct {
	browsers []string // origins that may call
	reach    Reach
}

// Reach describes who can connect to a listener, and which values of Host it accepts.
type Reach struct {
	Socket   bool     // a Unix socket, which no browser can open: every Host is accepted
	Loopback bool     // only this machine can connect
	Hosts    []string // accepted names besides addresses and localhost, without a port
}

// Guard protects another handler, such as the admin pages, in the same way.
func Guard(next http.Handler, reach Reach) http.Handler {
	g := guard{reach: reach}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.inspect(w, r); err != nil {
			status, _, _ := describe(err)
			http.Error(w, err.Error(), status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers a request that the guard refuses, and a preflight of a page that may call. It reports whether it has answered.
func (p *Proxy) refuse(rq *request) bool {
	if rq.refusal != nil {
		p.fail(rq, rq.refusal)
		return true
	}
	if rq.r.Header["Origin"] == nil {
		return false
	}
	return rq.allowOrigin()
}

// inspect returns why a request is refused, or nil. It closes the connection after the answer where another server could find a different
// end of the request than net/http.
func (g guard) inspect(w http.ResponseWriter, r *http.Request) error {
	// net/http answers a chunked HTTP/1.0 request twice on a kept connection. It deletes a Content-Length beside Transfer-Encoding
	// before a handler sees it, and RFC 9112 section 6.1 wants such a connection closed: so every chunked request is its last.
	if !r.ProtoAtLeast(1, 1) || len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
	return g.check(r)
}

// allowOrigin adds the header fields by which a browser lets the page read the answer. A preflight asks for nothing else (Fetch, section
// 3.3).
func (rq *request) allowOrigin() (preflight bool) {
	h, asked := rq.w.Header(), rq.r.Header
	h.Set("Access-Control-Allow-Origin", asked.Get("Origin"))
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "*")
	if rq.r.Method != http.MethodOptions || asked.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", asked.Get("Access-Control-Request-Method"))
	h.Set("Access-Control-Allow-Headers", asked.Get("Access-Control-Request-Headers"))
	rq.Status = http.StatusNoContent
	rq.w.WriteHeader(http.StatusNoContent)
	return true
}

// Reasons for which the guard or a later step refuses a request. describe has their status codes.
var (
	errUnsupported  = errors.New("WebSocket, CONNECT and TRACE are not supported")
	errTarget       = errors.New("the request target must be a path, such as /v1/groups.list")
	errHost         = errors.New("this Host is not a name of roamproxy; use an address or localhost, or name it in the setting hosts")
	errBrowser      = errors.New("web pages may not call roamproxy unless the setting browsers names their origin")
	errUnauthorized = errors.New("this tool's token is missing or wrong")
	errNotAllowed   = errors.New("this tool may not use this method and path")
	errAmbiguous    = errors.New("this path means different things to different servers; write it without dot segments, //, \\, encoded " +
		"slashes, ? or spaces, and in ASCII")
)

// check returns why a request is refused, or nil.
func (g guard) check(r *http.Request) error {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace, isWebSocket(r):
		return errUnsupported
	case r.RequestURI != "*" && !strings.HasPrefix(r.RequestURI, "/"):
		return errTarget // an absolute target: its Host is the target's own
	case !g.isOwnName(r):
		return errHost
	case r.RequestURI == "*", strings.HasPrefix(r.RequestURI, "//"), strings.Contains(r.RequestURI, "#"):
		return errTarget
	}
	if origins := r.Header["Origin"]; len(origins) > 0 {
		if len(origins) == 1 && slices.Contains(g.browsers, origins[0]) {
			return nil
		}
		return errBrowser
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return errBrowser
		}
	}
	for _, referer := range r.Header["Referer"] {
		if g.isForeign(referer, r.Host) {
			return errBrowser
		}
	}
	return nil
}

// isWebSocket reports whether the request is a WebSocket handshake. Any other offer of an upgrade is ignored (RFC 9110 section 7.8).
func isWebSocket(r *http.Request) bool {
	for _, value := range r.Header["Upgrade"] {
		for protocol := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(protocol), "/")
			if strings.EqualFold(name, "websocket") {
				return true
			}
		}
	}
	return false
}

// isForeign reports whether a Referer names a page of another origin. Browsers send Sec-Fetch-Site only to loopback addresses and https.
// On another address, the Referer is the only sign that a page asks for an image or a script.
func (g guard) isForeign(referer, host string) bool {
	u, err := url.Parse(referer)
	if err != nil || u.Opaque != "" {
		return true
	}
	if u.Scheme == "" && u.Host == "" {
		return false // a path alone is of this server (RFC 9110 section 10.1.3)
	}
	return !strings.EqualFold(u.Host, host) && !slices.Contains(g.browsers, u.Scheme+"://"+u.Host)
}

// isOwnName reports whether Host names this listener. A page can rebind a name of its own to our address (DNS rebinding), so only names
// that a page cannot own are accepted: addresses, localhost, names that the public DNS never has, and Hosts.
func (g guard) isOwnName(r *http.Request) bool {
	if g.reach.Socket {
		return true
	}
	if r.Host == "" {
		return !isFromBrowser(r.Header) // a health check of a balancer in HTTP/1.0; every browser names a host
	}
	name, bracketed := hostname(r.Host)
	if slices.ContainsFunc(g.reach.Hosts, func(own string) bool { return strings.EqualFold(strings.TrimSuffix(own, "."), name) }) {
		return true
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return bracketed == addr.Is6() && g.isOwnAddress(addr)
	}
	if bracketed || strings.ContainsAny(name, ":[]") {
		return false
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if g.reach.Loopback || name == "" {
		return false
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".svc") || strings.HasSuffix(name, ".cluster.local") ||
		strings.HasSuffix(name, ".internal")
}

// isOwnAddress reports whether an address in Host may be that of this listener. Browsers send Sec-Fetch-Site to 127.0.0.0/8 and ::1, and
// to no other address that leads to loopback. So http://0.0.0.0 and http://[::ffff:127.0.0.1] are refused.
func (g guard) isOwnAddress(addr netip.Addr) bool {
	if addr.Is4In6() || addr.Unmap().IsUnspecified() {
		return false
	}
	return addr.IsLoopback() || !g.reach.Loopback
}

// hostname returns the name or address in a Host field, in lower case, and whether it was in brackets.
func hostname(host string) (name string, bracketed bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		name, bracketed = h, strings.HasPrefix(host, "[")
	} else if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		name, bracketed = strings.TrimSuffix(inner, "]"), true
	} else {
		name = host
	}
	return strings.ToLower(strings.TrimSuffix(name, ".")), bracketed
}

// isFromBrowser reports whether the header has a field that browsers send and programs do not.
func isFromBrowser(h http.Header) bool {
	for _, name := range []string{"Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User"} {
		if h[name] != nil {
			return true
		}
	}
	return false
}
