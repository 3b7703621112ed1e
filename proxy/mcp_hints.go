package proxy

import (
	"encoding/json"
	"strings"
	"sync"

	"roamproxy/proxy/rpc"
)

// toolHints remembers which MCP tools only read, from annotations.readOnlyHint in tool lists. The zero value is ready. It may be used by
// many goroutines.
type toolHints struct {
	mu    sync.Mutex // guards known
	known map[hintKey]bool
}

type hintKey struct{ upstream, tool string }

// maxHints bounds the remembered tools. Roam has about ten.
const maxHints = 1000

// learn reads a list of tools. It skips tools without a hint.
func (t *toolHints) learn(upstream string, list json.RawMessage) {
	var tools []struct {
		Name        string `json:"name"`
		Annotations struct {
			ReadOnlyHint *bool `json:"readOnlyHint"`
		} `json:"annotations"`
	}
	if json.Unmarshal(list, &tools) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tool := range tools {
		if tool.Annotations.ReadOnlyHint == nil || len(tool.Name) > maxToolName {
			continue
		}
		if t.known == nil || len(t.known) >= maxHints {
			t.known = make(map[hintKey]bool)
		}
		t.known[hintKey{upstream, strings.Clone(tool.Name)}] = *tool.Annotations.ReadOnlyHint
	}
}

// isRead reports whether a tool only reads, by its hint or else by its name.
func (t *toolHints) isRead(upstream, tool string) bool {
	t.mu.Lock()
	reads, ok := t.known[hintKey{upstream, tool}]
	t.mu.Unlock()
	if ok {
		return reads
	}
	return rpc.IsRead(tool)
}
