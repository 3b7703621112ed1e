package proxy

import (
	"slices"
	"strings"
	"sync"

	"roamproxy/proxy/rpc"
)

// maxMCPTools bounds the tools with a route of their own in metrics, log and page. Roam has about ten; an agent can make up others.
const maxMCPTools = 40

// mcpRoutes returns the routes of JSON-RPC messages, such as "/mcp tools/call meeting_search". The zero value is ready. It may be used by
// many goroutines.
type mcpRoutes struct {
	mu    sync.Mutex // guards known
	known map[string]bool
}

// label returns the route of messages, which are nil if they cannot be read. A batch has the route of its messages if they have the same.
func (r *mcpRoutes) label(messages *rpc.Body) string {
	if messages == nil {
		return otherMessages
	}
	first := r.of(messages.Messages[0])
	for _, m := range messages.Messages[1:] {
		if r.of(m) != first {
			return mcpRoute + " batch"
		}
	}
	return first
}

// otherMessages is the route of messages without one of their own.
const otherMessages = mcpRoute + " other"

func (r *mcpRoutes) of(m rpc.Message) string {
	switch {
	case m.Method == "":
		return mcpRoute + " response"
	case !slices.Contains(rpc.Methods(), m.Method):
		return otherMessages
	case !m.IsToolCall():
		return mcpRoute + " " + m.Method
	case !r.knows(m.Name):
		return mcpRoute + " " + m.Method + " other"
	}
	return mcpRoute + " " + m.Method + " " + m.Name
}

// knows reports whether a tool has a route of its own. It gives the tool one while fewer than maxMCPTools have one.
func (r *mcpRoutes) knows(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[name] {
		return true
	}
	if len(r.known) >= maxMCPTools || len(name) > maxToolName || strings.Trim(name, toolLetters) != "" {
		return false
	}
	if r.known == nil {
		r.known = make(map[string]bool)
	}
	r.known[strings.Clone(name)] = true
	return true
}

// Names of tools consist of these letters (MCP 2025-11-25). MCP allows 128; a table on the status page has room for 64.
const (
	maxToolName = 64
	toolLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
)
