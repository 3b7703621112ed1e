package proxy

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets local programs in and keeps web pages out, before anything is read or spent.
type guard struct {
	browsers []string // origins that may call
	reach    Reach
}

// Reach says who can connect to a listener, and under which names it may be called.
type Reach struct {
	Socket   bool     // it is a Unix socket, which no browser can open: any name will do
	Loopback bool     // only this machine can connect
	Hosts    []string // names that may be called besides addresses and localhost, without a port
}

// Guard protects another handler, such as the admin pages, in the same way.
func Guard(next http.Handler, reach Reach) http.Handler {
	g := guard{reach: reach}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.check(r); err != nil {
			status, _, _ := describe(err)
			http.Error(w, err.Error(), status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers those who may not come in, and the preflights of pages that may. It tells whether that was all.
func (p *Proxy) refuse(v *visit) bool {
	if !v.r.ProtoAtLeast(1, 1) {
		v.w.Header().Set("Connection", "close") // net/http answers a chunked HTTP/1.0 request twice on a kept connection
	}
	if err := p.guard.check(v.r); err != nil {
		p.fail(v, err)
		return true
	}
	if v.r.Header["Origin"] == nil {
		return false
	}
	return v.welcome()
}

// welcome tells a browser that the page may have the answer, which is all that a preflight asks (Fetch, section 3.3).
func (v *visit) welcome() (preflight bool) {
	h, asked := v.w.Header(), v.r.Header
	h.Set("Access-Control-Allow-Origin", asked.Get("Origin"))
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "*")
	if v.r.Method != http.MethodOptions || asked.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", asked.Get("Access-Control-Request-Method"))
	h.Set("Access-Control-Allow-Headers", asked.Get("Access-Control-Request-Headers"))
	v.Status = http.StatusNoContent
	v.w.WriteHeader(http.StatusNoContent)
	return true
}

// Reasons of the guard and of who comes after it; describe has their status codes.
var (
	errUnsupported  = errors.New("upgrades, CONNECT and TRACE are not supported")
	errTarget       = errors.New("the request target must be a path, such as /v1/groups.list")
	errHost         = errors.New("this Host is not a name of roamproxy; use an address or localhost, or name it in the setting hosts")
	errBrowser      = errors.New("web pages may not call roamproxy unless the setting browsers names their origin")
	errUnauthorized = errors.New("this tool's token is missing or wrong")
	errNotAllowed   = errors.New("this tool may not use this method and path")
	errAmbiguous    = errors.New("this path means different things to different servers; write it without dot segments, //, \\ or encoded slashes")
)

func (g guard) check(r *http.Request) error {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace, len(r.Header["Upgrade"]) > 0:
		return errUnsupported
	case !strings.HasPrefix(r.RequestURI, "/"), strings.HasPrefix(r.RequestURI, "//"), strings.Contains(r.RequestURI, "#"):
		return errTarget
	case !g.knows(r.Host):
		return errHost
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
	return nil
}

// knows tells whether a page that rebound a name of its own to our address could send this Host. It could not send an address,
// localhost, or a name that the public DNS never has: those of containers and clusters. A name of Hosts is the operator's own.
func (g guard) knows(host string) bool {
	if g.reach.Socket {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if addr, err := netip.ParseAddr(name); err == nil {
		return !addr.IsUnspecified() // a page may load http://0.0.0.0 as an image, without a header that gives it away
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if slices.ContainsFunc(g.reach.Hosts, func(own string) bool { return strings.EqualFold(own, name) }) {
		return true
	}
	if g.reach.Loopback || name == "" {
		return false
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".svc") || strings.HasSuffix(name, ".cluster.local") || strings.HasSuffix(name, ".internal")
}
