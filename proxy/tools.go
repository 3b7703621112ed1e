package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"roamproxy/limiter"
	"roamproxy/proxy/peer"
	"roamproxy/proxy/rpc"
)

// Tool is a program that may call roamproxy.
type Tool struct {
	Name        string
	Tokens      [][sha256.Size]byte // SHA-256 of each token that is valid now
	Credential  string              // name of an element of Options.Credentials; "": the first
	Weight      int
	MaxQueue    int
	MaxWait     time.Duration // a call that would wait longer is refused; 0: the quota's
	Batch       bool          // leaves the reserve to other tools
	CallsPerDay int           // attempts at Roam in a day of UTC; 0: any number
	Allow       []string      // "METHOD path" or "POST /mcp tools/call meeting_*", patterns of path.Match; METHOD may be *; none: everything
}

// tool is a Tool with its patterns parsed, or a caller that is not configured.
type tool struct {
	Tool
	paths       []string      // of Allow, those without messages
	messages    []rpc.Pattern // JSON-RPC messages that it may post to /mcp, besides paths
	limiterTool limiter.Tool
	upstream    *upstream
	inProgress  *atomic.Int64 // requests in progress
}

// tools finds the tool of a request.
type tools struct {
	configured []*tool
	byToken    map[[sha256.Size]byte]*tool // by the digest of each valid token
	callers    *callers                    // if no tools are configured
}

func newTools(configured []Tool, upstreams map[string]*upstream, met func(string)) (*tools, error) {
	t := &tools{callers: newCallers(met), byToken: make(map[[sha256.Size]byte]*tool)}
	for _, c := range configured {
		u := upstreams[c.Credential]
		if c.Credential != "" && u == nil {
			return nil, fmt.Errorf("proxy: tool %s: there is no credential %q", c.Name, c.Credential)
		}
		known := &tool{Tool: c, upstream: u, inProgress: new(atomic.Int64),
			limiterTool: limiter.Tool{Name: c.Name, Weight: c.Weight, MaxQueue: c.MaxQueue, Batch: c.Batch}}
		if err := known.allow(c.Allow); err != nil {
			return nil, fmt.Errorf("proxy: tool %s: %w", c.Name, err)
		}
		t.configured = append(t.configured, known)
		for _, digest := range c.Tokens {
			t.byToken[digest] = known
		}
	}
	return t, nil
}

// errTooManyCalls is a limiter.ErrQueueFull: the tool has reached its limit of requests in progress, or of connections.
var errTooManyCalls = fmt.Errorf("%w: too many requests of one tool in progress", limiter.ErrQueueFull)

// identify sets the tool of a request. It reports false if it has answered, because the tool is unknown or may not make this request.
func (p *Proxy) identify(rq *request) (known bool) {
	t := p.tools.find(rq)
	if t == nil {
		rq.w.Header().Set("WWW-Authenticate", `Bearer realm="roamproxy"`)
		p.fail(rq, errUnauthorized)
		return false
	}
	rq.tool, rq.Tool = t, t.limiterTool.Name
	if t.upstream != nil {
		rq.upstream = t.upstream
	}
	rq.Quota = rq.upstream.quota.Name
	if n := t.inProgress.Add(1); p.o.MaxCalls > 0 && n > int64(p.o.MaxCalls) {
		p.fail(rq, &limiter.Refusal{Reason: errTooManyCalls, RetryAfter: time.Second})
		return false
	}
	if p.o.Connections != nil {
		if rq.hasConnection = p.o.Connections.Take(t.limiterTool.FlowName(), 1); !rq.hasConnection {
			rq.w.Header().Set("Connection", "close") // frees the connection, of which the tool has too many
			p.fail(rq, &limiter.Refusal{Reason: errTooManyCalls, RetryAfter: time.Second})
			return false
		}
	}
	if err := t.canCall(rq.r.Method, target(rq.r)); err != nil {
		p.fail(rq, err)
		return false
	}
	return true
}

// find returns the tool of a request, or nil if tools are configured and the request has no valid token.
func (t *tools) find(rq *request) *tool {
	if len(t.configured) == 0 {
		return t.callers.tool(first(rq.own.tool), peer.Of(rq.r.Context()), rq.Agent, rq.Peer)
	}
	return t.findByToken(rq)
}

// findByToken returns the tool whose token the request has, or nil. The time of the lookup depends on the digest of the token alone, and an
// attacker cannot choose a digest.
func (t *tools) findByToken(rq *request) *tool {
	token, ok := TokenIn(rq.own.authorization)
	if !ok {
		return nil
	}
	return t.byToken[sha256.Sum256([]byte(token))]
}

// TokenIn returns the token in the Authorization fields of a request: a Bearer token (RFC 6750), or the password of Basic (RFC 7617). ok is
// false for more than one field: another proxy could read a different one.
func TokenIn(authorization []string) (token string, ok bool) {
	if len(authorization) != 1 {
		return "", false
	}
	scheme, value, _ := strings.Cut(authorization[0], " ")
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "bearer"):
		return value, value != ""
	case strings.EqualFold(scheme, "basic"):
		pair, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", false
		}
		_, token, _ = strings.Cut(string(pair), ":")
		return token, token != ""
	}
	return "", false
}

// isAmbiguous reports whether a server could read a path in another way than roamproxy.
func isAmbiguous(escaped string) bool {
	plain := escaped
	for range decodings {
		if strings.Contains(plain, "//") || strings.ContainsAny(plain, `\;?#`) || strings.ContainsFunc(plain, isUnusual) {
			return true
		}
		for segment := range strings.SplitSeq(plain, "/") {
			if segment == "." || segment == ".." {
				return true
			}
		}
		next, err := url.PathUnescape(plain)
		if err != nil || strings.Count(next, "/") != strings.Count(plain, "/") {
			return true
		}
		if next == plain {
			return false
		}
		plain = next
	}
	return true
}

// isUnusual reports whether servers read a character in different ways. Controls and spaces may end a line or a path. Characters beyond
// ASCII may be read as a slash or a dot (U+FF0F, U+2024, overlong UTF-8). Roam's paths have none of them.
func isUnusual(letter rune) bool { return letter <= ' ' || letter >= 0x7f }

// decodings bounds how often a path may be percent-encoded: once for each server in a chain, and eight in a row are not in use.
const decodings = 8

// target returns the path as the tool sent it, without the query.
func target(r *http.Request) string {
	escaped, _, _ := strings.Cut(r.RequestURI, "?")
	return escaped
}
