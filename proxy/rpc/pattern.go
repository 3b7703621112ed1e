package rpc

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Pattern selects messages by method and, if Name is not "", by the name of the tool or prompt. Both are patterns of path.Match.
type Pattern struct{ Method, Name string }

// ParsePattern parses METHOD or METHOD NAME, such as tools/call meeting_*. A pattern that no message can match is an error.
func ParsePattern(text string) (p Pattern, err error) {
	parts := strings.Split(text, " ")
	if len(parts) > 2 || parts[0] == "" || parts[len(parts)-1] == "" {
		return p, fmt.Errorf("want a JSON-RPC method, such as tools/list, or one and a name, such as tools/call meeting_*, not %q", text)
	}
	p.Method = parts[0]
	if len(parts) == 2 {
		p.Name = parts[1]
	}
	for _, pattern := range parts {
		if _, err := path.Match(pattern, ""); err != nil {
			return p, fmt.Errorf("%q is no pattern of path.Match", pattern)
		}
	}
	if p.Name != "" && p.Method != "*" && !p.matchesMethod(ToolCall) && !p.matchesMethod(PromptGet) {
		return p, fmt.Errorf("only %s and %s have a name, not %s", ToolCall, PromptGet, p.Method)
	}
	if p.Method == "*" {
		return p, errors.New("* matches no /, as in tools/list; leave it out to select every message")
	}
	if !slices.ContainsFunc(Methods(), p.matchesMethod) {
		return p, fmt.Errorf("MCP has no method %s, but such as tools/list and tools/call", p.Method)
	}
	return p, nil
}

// Matches reports whether the pattern selects a message.
func (p Pattern) Matches(m Message) bool {
	if !p.matchesMethod(m.Method) {
		return false
	}
	if p.Name == "" {
		return true
	}
	ok, _ := path.Match(p.Name, m.Name)
	return ok && (m.Method == ToolCall || m.Method == PromptGet)
}

func (p Pattern) matchesMethod(method string) bool {
	ok, _ := path.Match(p.Method, method)
	return ok
}
