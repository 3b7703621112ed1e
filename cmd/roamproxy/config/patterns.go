package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"roamproxy/proxy/rpc"
)

// The checks of this file report entries that can never match, because their author believes that they do.

// checkPattern requires METHOD and a pattern of path.Match.
func checkPattern(v *checker, key, pattern string) {
	method, route, ok := strings.Cut(pattern, " ")
	_, err := path.Match(route, "")
	switch {
	case !ok || method == "" || !strings.HasPrefix(route, "/") || err != nil:
		v.bad(key, "want METHOD /path, such as GET /v1/*.list, not %q", pattern)
	case strings.ToUpper(method) != method:
		v.bad(key, "%q never matches: methods are in capitals, so write %s", pattern, strings.ToUpper(method)+" "+route)
	}
}

// checkAllow requires a pattern that a request can match. allow compares the whole method, and refuses paths that servers could read in
// two ways.
func checkAllow(v *checker, key, pattern string) {
	if method, rest, _ := strings.Cut(pattern, " "); strings.HasPrefix(rest, "/mcp ") {
		checkMessages(v, key, method, rest)
		return
	}
	before := len(v.mistakes)
	if checkPattern(v, key, pattern); len(v.mistakes) > before {
		return
	}
	method, route, _ := strings.Cut(pattern, " ")
	switch {
	case method == "CONNECT" || method == "TRACE":
		v.bad(key, "%q never matches: roamproxy refuses %s", pattern, method)
	case !regexp.MustCompile(`^(\*|[A-Z][A-Z-]*)$`).MatchString(method):
		v.bad(key, "%q never matches: want one method, or * for every method, before the path", pattern)
	case regexp.MustCompile(`\?[^/=&]+=`).MatchString(route):
		v.bad(key, "%q never matches: allow decides on the path, without the query", pattern)
	case strings.ContainsFunc(route, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || strings.ContainsAny(route, ";#"):
		v.bad(key, "%q never matches: a path with a space (except after POST /mcp), control character, ;, # or non-ASCII letter is refused",
			pattern)
	case strings.Contains(route, "//") || regexp.MustCompile(`/\.\.?(/|$)`).MatchString(route) || escapesAnother(route):
		v.bad(key, "%q never matches: a path with dot segments, // or an escaped /, \\, ?, # or control character is refused", pattern)
	}
}

// checkMessages requires a pattern of JSON-RPC messages that can match, such as POST /mcp tools/call meeting_*.
func checkMessages(v *checker, key, method, rest string) {
	_, messages, _ := strings.Cut(rest, " ")
	_, err := rpc.ParsePattern(messages)
	switch {
	case method != "POST":
		v.bad(key, "%q never matches: JSON-RPC messages are sent with POST, so write POST %s", method+" "+rest, rest)
	case err != nil:
		v.bad(key, "%q never matches: %v", method+" "+rest, err)
	}
}

// escapesAnother reports whether a path has an escaped character that is refused, or a % that begins no escape.
func escapesAnother(route string) bool {
	plain, err := url.PathUnescape(route)
	if err != nil {
		return true
	}
	for _, r := range plain {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(";#", r) {
			return true
		}
	}
	for _, letter := range `/\?` { // characters that the pattern itself may have
		if strings.Count(plain, string(letter)) > strings.Count(route, string(letter)) {
			return true
		}
	}
	return false
}

// checkOrigin requires an origin as browsers send it (RFC 6454 section 6.1, and the URL standard). It is in lower case and ASCII, without
// the default port of its scheme.
func checkOrigin(v *checker, key, origin string) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		v.bad(key, "want an origin such as http://localhost:3000, not %q", origin)
		return
	}
	if better, why := canonicalHost(u); why != "" {
		v.bad(key, "%q never matches: %s%s", origin, why, better)
	}
}

// canonicalHost returns why a browser never sends a host in this form, and how it sends it where that is clear.
func canonicalHost(u *url.URL) (better, why string) {
	name, port := u.Hostname(), u.Port()
	write := func(host string) string { return ", so write " + u.Scheme + "://" + host }
	switch number, err := strconv.ParseUint(port, 10, 16); {
	case strings.HasSuffix(u.Host, ":"), port != "" && (err != nil || number == 0 || strconv.FormatUint(number, 10) != port):
		return "", "its port is invalid"
	case u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443":
		return write(strings.TrimSuffix(u.Host, ":"+port)), "browsers leave out the port that the scheme implies"
	case strings.Contains(name, "*"):
		return "", "there are no wildcards; write one entry for each origin"
	case strings.ToLower(u.Host) != u.Host:
		return write(strings.ToLower(u.Host)), "browsers write hosts in lower case"
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Is4In6() || addr.Zone() != "" || addr.String() != name {
			return "", fmt.Sprintf("browsers write this address in another form (%s)", addr.Unmap().WithZone(""))
		}
		return "", ""
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	switch last := labels[len(labels)-1]; {
	case regexp.MustCompile(`[^a-z0-9._-]`).MatchString(name):
		return "", "browsers write a host in a-z, 0-9, dots and hyphens; a name with other letters begins with xn--"
	case regexp.MustCompile(`^(\d+|0x[0-9a-f]*)$`).MatchString(last):
		return "", "browsers read it as an IPv4 address, which they write as four numbers"
	}
	return "", ""
}

// checkHost requires a name that a Host header can have.
func checkHost(v *checker, key, host string) {
	u, err := url.Parse("http://" + host)
	if err != nil || host == "" || u.Hostname() != host || strings.ContainsAny(host, "*[]@") {
		v.bad(key, "want a name without a port, such as roamproxy.example, not %q", host)
	}
}
