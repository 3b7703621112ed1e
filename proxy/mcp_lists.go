package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"roamproxy/cache"
	"roamproxy/proxy/rpc"
)

// mcpLists caches the lists of tools, prompts and resources, with which every session of an agent begins; each would be a call. All agents
// of a credential share them. The zero value is ready. It may be used by many goroutines.
type mcpLists struct {
	mu      sync.Mutex // guards the following
	lists   map[listKey]*cachedList
	changes int // how often drop was called
}

// listKey is everything that a list depends on.
type listKey struct{ partition, fields, method, params string }

// cachedList is the result of a call, by field.
type cachedList struct {
	result map[string]json.RawMessage
	until  time.Time
}

const (
	listTTL    = time.Minute // for a list without ttlMs
	maxListTTL = time.Hour   // bounds ttlMs, in case the server forgets to report a change
	maxLists   = 100         // lists in memory: with maxList at most 25 MiB
	maxList    = 256 << 10   // bytes of one list; a tool takes some hundred
	maxParams  = 1 << 10     // bytes of the parameters, and of the header fields in the key
)

// isList reports whether answers to a method are cached.
func isList(method string) bool {
	switch method {
	case "tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover":
		return true
	}
	return false
}

// requestedList returns the key of the list that a request asks for. ok is false if it asks for no list, or for one that is not cached.
func (rq *request) requestedList() (key listKey, ok bool) {
	if rq.messages == nil || rq.messages.Batch || rq.r.Header[keyHeader] != nil {
		return key, false
	}
	m := rq.messages.Messages[0]
	if !m.IsRequest() || !isList(m.Method) || len(m.Params) > maxParams ||
		!strings.Contains(strings.Join(rq.r.Header["Accept"], ","), "application/json") {
		return key, false
	}
	params := map[string]json.RawMessage{}
	if len(m.Params) > 0 && json.Unmarshal(m.Params, &params) != nil {
		return key, false
	}
	delete(params, "_meta")
	canonical, err := json.Marshal(params)
	fields := keyFields(rq.r.Header)
	key = listKey{rq.upstream.name + " " + rq.upstream.credential.Keys().Partition, fields, m.Method, string(canonical)}
	return key, err == nil && len(fields) <= maxParams
}

// keyFields returns the header fields that may change the answer, such as the protocol version: all but those known not to. So no tool can
// change the list of another.
func keyFields(h http.Header) string {
	var all []string
	for name, values := range h {
		switch name {
		case "Accept", "Accept-Encoding", "Cache-Control", "Content-Length", "Content-Type", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id",
			"Traceparent", "Tracestate", "User-Agent", idHeader:
		default:
			all = append(all, fmt.Sprintf("%s: %q", name, values))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// answerList answers a request for a cached list, and reports whether it did.
func (p *Proxy) answerList(rq *request) bool {
	key, ok := rq.requestedList()
	if !ok {
		return false
	}
	kept, changes := p.lists.get(key)
	rq.list, rq.listChanges = &key, changes
	if kept == nil || strings.Contains(rq.r.Header.Get("Cache-Control"), "no-") ||
		strings.Contains(rq.r.Header.Get("Cache-Control"), "max-age=0") {
		return false
	}
	rq.list = nil
	rq.Cache, rq.Status = cache.Hit, http.StatusOK
	text := rq.listAnswer(kept)
	h := rq.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	p.mark(h, rq, fmt.Sprintf("roamproxy; hit; ttl=%d", int(time.Until(kept.until).Seconds())))
	w := &toolWriter{ResponseWriter: rq.w}
	w.WriteHeader(http.StatusOK)
	w.Write(text)
	return true
}

// listAnswer returns the response to a request for a list: with the request's id, the remaining ttlMs, and only what the tool may use.
func (rq *request) listAnswer(kept *cachedList) []byte {
	result := make(map[string]any, len(kept.result))
	for name, value := range kept.result {
		result[name] = value
	}
	if kept.result["ttlMs"] != nil {
		result["ttlMs"] = max(time.Until(kept.until).Milliseconds(), 0)
	}
	for field, method := range map[string]string{"tools": rpc.ToolCall, "prompts": rpc.PromptGet} {
		if all := kept.result[field]; all != nil {
			result[field] = rq.tool.allowedItems(target(rq.r), method, all)
		}
	}
	text, _ := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  any             `json:"result"`
	}{"2.0", rq.messages.Messages[0].ID, result})
	return append(text, '\n')
}

// allowedItems returns the items of a list that Allow lets the tool use by a method.
func (t *tool) allowedItems(escaped, method string, all json.RawMessage) any {
	var items []json.RawMessage
	if len(t.Allow) == 0 || t.canUse(http.MethodPost, escaped) || json.Unmarshal(all, &items) != nil {
		return all
	}
	allowed := []json.RawMessage{}
	for _, item := range items {
		var named struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(item, &named) == nil && t.canPost(escaped,
			&rpc.Body{Messages: []rpc.Message{{Method: method, Name: named.Name}}}) == nil {
			allowed = append(allowed, item)
		}
	}
	return allowed
}

func (l *mcpLists) get(key listKey) (kept *cachedList, changes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept = l.lists[key]; kept != nil && time.Now().After(kept.until) {
		kept = nil
	}
	return kept, l.changes
}

// put caches a list, unless a list has changed since it was asked for: changes is the count at that time.
func (l *mcpLists) put(key listKey, kept *cachedList, changes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changes != changes || !time.Now().Before(kept.until) {
		return
	}
	if l.lists == nil || len(l.lists) >= maxLists {
		l.lists = make(map[listKey]*cachedList)
	}
	l.lists[key] = kept
}

// drop removes all lists, because one of them has changed.
func (l *mcpLists) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists = nil
	l.changes++
}
