package cache

import (
	"net/http"
	"strings"
)

// IsHopByHop reports whether a header field belongs to one connection (RFC 9110 section 7.6.1, and RFC 7540 section 3.2.1 for
// HTTP2-Settings). It is neither forwarded nor stored. The name is in canonical form.
func IsHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Proxy-Connection",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info":
		return true
	}
	return false
}

// ConnectionFields returns the fields that Connection names. They belong to the connection too.
func ConnectionFields(h http.Header) map[string]bool {
	if h["Connection"] == nil {
		return nil
	}
	names := make(map[string]bool)
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			names[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return names
}

// RemoveHopByHop removes the fields of one connection from the header of a request or a response.
func RemoveHopByHop(h http.Header) {
	named := ConnectionFields(h)
	for name := range h {
		if named[name] || IsHopByHop(name) {
			delete(h, name)
		}
	}
}
