package proxy

import (
	"net/http"
	"strings"

	"roamproxy/cache"
	"roamproxy/proxy/eventstream"
)

// takeOwnFields removes from a request's header what Roam must not see. It returns the fields that are for roamproxy. It runs once, before
// any step reads the header, so no decision depends on a field that Roam does not get.
func takeOwnFields(h http.Header) (own ownFields) {
	named := cache.ConnectionFields(h)
	for name, values := range h {
		if field := own.field(name); field != nil {
			*field = values // also where Connection names it: roamproxy is the next hop that the field is for
			delete(h, name)
		} else if named[name] || isNeverForwarded(name) {
			delete(h, name)
		}
	}
	narrowEncoding(h)
	return own
}

// ownFields are the header fields of a request that are for roamproxy: who the tool is, and how its call is to be treated.
type ownFields struct {
	authorization, prefer, priority []string
	tool, repeat                    []string // of Roamproxy-
}

// field returns where the values of a header field go; nil: they are not for roamproxy.
func (o *ownFields) field(name string) *[]string {
	switch name {
	case "Authorization":
		return &o.authorization
	case "Prefer":
		return &o.prefer
	case "Priority":
		return &o.priority
	case "Roamproxy-Tool":
		return &o.tool
	case repeatHeader:
		return &o.repeat
	}
	return nil
}

// first returns the first value of a field, or "". A later one is ignored.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// isNeverForwarded reports whether a field must not reach Roam. Such a field belongs to the connection or to the framing of the body, or
// some servers let it change the caller, method, host or path.
func isNeverForwarded(name string) bool {
	switch name {
	case "Content-Length", "Expect": // net/http sets the length; the body was read before the call is sent
		return true
	case "Cookie", "Cookie2", "Proxy", "Baggage", "X-Host", "X-Real-Ip", "Remote-User", "X-Remote-User", "X-Authenticated-User", "X-Api-Key",
		"X-Auth-Token",
		"Cf-Connecting-Ip", "X-Http-Method", "X-Http-Destinationurl", "X-Remote-Addr", "X-Remote-Ip", "X-Originating-Ip":
		return true
	}
	if cache.IsHopByHop(name) || strings.Contains(name, "_") { // CGI, WSGI and PHP read _ as -
		return true
	}
	for _, prefix := range []string{"Roamproxy-", "Proxy-", "Forwarded", "X-Forwarded", "X-Original-", "X-Rewrite-", "X-Envoy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.HasSuffix(name, "-Override") || strings.HasSuffix(name, "Client-Ip") // such as X-HTTP-Method-Override and True-Client-IP
}

// narrowEncoding leaves only gzip in Accept-Encoding. An error may repeat the credential, and only a body that roamproxy can decode can be
// redacted.
func narrowEncoding(h http.Header) {
	values := h["Accept-Encoding"]
	delete(h, "Accept-Encoding")
	if eventstream.IsWanted(h) {
		return // a compressed stream cannot get keep-alive comments
	}
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(part, " ", "")), ";")
		if refused := strings.Trim(strings.TrimPrefix(weight, "q="), "0.") == "" && weight != ""; (coding == "gzip" || coding == "*") &&
			!refused {
			h["Accept-Encoding"] = []string{"gzip"}
			return
		}
	}
}

// keepShareable removes the header fields that could change the answer without being in the cache key, because the answer may go to other
// tools too. It keeps the fields in the key, those that identify the caller, and those for the cache.
func keepShareable(h http.Header, method string) {
	for name := range h {
		describesBody := strings.HasPrefix(name, "Content-") && method == http.MethodPost // another method's body is dropped
		if !isShareable(name) && !isForCache(name) && !describesBody {
			delete(h, name)
		}
	}
}

// isShareable reports whether equal requests may share one call although the route is not cached. They may if the request is a read, asks
// for no event stream, and has no field that is missing in the cache key.
func (rq *request) isShareable() bool {
	if rq.Method != http.MethodGet || rq.Route == mcpRoute || strings.Contains(rq.r.Header.Get("Accept"), "text/event-stream") {
		return false
	}
	for name := range rq.r.Header {
		if !isShareable(name) && !isForCache(name) && !strings.HasPrefix(name, "Content-") { // there is no body to describe
			return false
		}
	}
	return true
}

func isShareable(name string) bool {
	switch name {
	case "User-Agent", "Accept", "Roam-Version", "Traceparent", "Tracestate":
		return true
	}
	return strings.HasPrefix(name, "Accept-") || strings.HasPrefix(name, "X-Fern-") || strings.HasPrefix(name, "Mcp-")
}

// isForCache reports whether a field asks something of a cache: for a fresh answer, a part of it, or one that changed (RFC 9110
// sections 13.1 and 14.2, RFC 9111 section 5.2).
func isForCache(name string) bool {
	switch name {
	case "Cache-Control", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since":
		return true
	}
	return false
}

// removeConditions removes the fields that are for a cache, from a request whose answer other tools may get.
func removeConditions(h http.Header) {
	for name := range h {
		if isForCache(name) {
			delete(h, name)
		}
	}
}
