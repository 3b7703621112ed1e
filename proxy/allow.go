package proxy

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"roamproxy/proxy/rpc"
)

// allow parses the entries of Allow.
func (t *tool) allow(entries []string) error {
	for _, entry := range entries {
		method, rest, ok := strings.Cut(entry, " ")
		pattern, messages, hasMessages := strings.Cut(rest, " ")
		if _, err := path.Match(pattern, ""); err != nil || !ok {
			return fmt.Errorf("%q is not METHOD path", entry)
		}
		if !hasMessages {
			t.paths = append(t.paths, entry)
			continue
		}
		selected, err := rpc.ParsePattern(messages)
		if err != nil {
			return fmt.Errorf("%q: %w", entry, err)
		}
		if method != http.MethodPost || pattern != mcpRoute {
			return fmt.Errorf("%q: only POST %s has JSON-RPC methods", entry, mcpRoute)
		}
		t.messages = append(t.messages, selected)
	}
	return nil
}

// canCall returns an error if the tool may not call this method and path. It decides on the bytes that are forwarded. For a POST to /mcp,
// canPost decides later on the messages.
func (t *tool) canCall(method, escaped string) error {
	if len(t.Allow) == 0 {
		return nil
	}
	if isAmbiguous(escaped) {
		return errAmbiguous
	}
	if t.canUse(method, escaped) || len(t.messages) > 0 && method == http.MethodPost && escaped == mcpRoute {
		return nil
	}
	return errNotAllowed
}

// canUse reports whether the tool may use a method and path, whatever the body.
func (t *tool) canUse(method, escaped string) bool {
	return slices.ContainsFunc(t.paths, func(pattern string) bool {
		methods, paths, _ := strings.Cut(pattern, " ")
		ok, _ := path.Match(paths, escaped)
		return ok && (methods == "*" || methods == method || methods == http.MethodGet && method == http.MethodHead)
	})
}

// canPost returns an error unless the tool may send all messages of a request to /mcp; messages is nil if they cannot be read. Messages
// that only keep a session alive are allowed to a tool that may send any other.
func (t *tool) canPost(escaped string, messages *rpc.Body) error {
	if len(t.Allow) == 0 || t.canUse(http.MethodPost, escaped) {
		return nil
	}
	if messages == nil {
		return errNotAllowedUnread
	}
	for _, m := range messages.Messages {
		if !m.IsSession() && !slices.ContainsFunc(t.messages, func(p rpc.Pattern) bool { return p.Matches(m) }) {
			return errNotAllowedMessage
		}
	}
	return nil
}

var (
	errNotAllowedMessage = fmt.Errorf("%w: allow names other JSON-RPC methods or tools than these", errNotAllowed)
	errNotAllowedUnread  = fmt.Errorf("%w: allow names JSON-RPC methods, and the body is no message that every server reads alike",
		errNotAllowed)
)
