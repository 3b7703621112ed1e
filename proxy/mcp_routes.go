package proxy

import (
	"slices"
	"strings"
	"sync"

	"roamproxy/proxy/rpc"
)

// maxMCPTools bounds the tools that have a route of their own in metrics, log and page. Roam has some ten; any agent may name others.
const maxMCPTools = 40

// mcpRoutes names what agents post, such as /mcp tools/call meeting_search. The zero value is ready. It may be used by many goroutines.
type mcpRoutes struct {
	mu    sync.Mutex // guards known
	known map[string]bool
}

// label returns the route of messages; nil: they cannot be read. Those of a batch have one if they are alike.
func (l *mcpRoutes) label(messages *rpc.Body) string {
	if messages == nil {
		return otherMessages
	}
	first := l.of(messages.Messages[0])
	for _, m := range messages.Messages[1:] {
		if l.of(m) != first {
			return mcpRoute + " batch"
		}
	}
	return first
}

// otherMessages is the route of what has none of its own.
const otherMessages = mcpRoute + " other"

func (l *mcpRoutes) of(m rpc.Message) string {
	switch {
	case m.Method == "":
		return mcpRoute + " response"
	case !slices.Contains(rpc.Methods(), m.Method):
		return otherMessages
	case !m.IsToolCall():
		return mcpRoute + " " + m.Method
	case !l.knows(m.Name):
		return mcpRoute + " " + m.Method + " other"
	}
	return mcpRoute + " " + m.Method + " " + m.Name
}

// knows reports whether a tool has a route of its own, and gives it one while there are any.
func (l *mcpRoutes) knows(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[name] {
		return true
	}
	if len(l.known) >= maxMCPTools || len(name) > maxToolName || strings.Trim(name, toolLetters) != "" {
		return false
	}
	if l.known == nil {
		l.known = make(map[string]bool)
	}
	l.known[strings.Clone(name)] = true
	return true
}

// Names of tools have at most 128 of these letters (MCP 2025-11-25); here half as many, for a table.
const (
	maxToolName = 64
	toolLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
)
