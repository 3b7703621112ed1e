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

// Every session of an agent begins with the same lists of tools, prompts and resources, each a call. mcpLists keeps Roam's answers for all
// agents of a credential. The zero value is ready. It may be used by many goroutines.
type mcpLists struct {
	mu      sync.Mutex // guards the following
	lists   map[listKey]*cachedList
	changes int // how often they were dropped
}

// listKey is all that a list depends on.
type listKey struct{ partition, fields, method, params string }

// cachedList is the result of a call, by its fields.
type cachedList struct {
	result map[string]json.RawMessage
	until  time.Time
}

const (
	listTTL    = time.Minute // of a list that does not say its own
	maxListTTL = time.Hour   // a server that forgets to tell of a change is believed no longer
	maxLists   = 100         // kept at a time; with maxList at most some 25 MiB
	maxList    = 256 << 10   // bytes of one; a tool has some hundred
	maxParams  = 1 << 10     // bytes of the parameters, and of the fields in the key
)

// isList reports whether answers to a method are kept.
func isList(method string) bool {
	switch method {
	case "tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover":
		return true
	}
	return false
}

// requestedList returns the key of the list that a request asks for.
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

// keyFields returns the fields of a request that may choose its answer, such as the version of the protocol: all but those that are
// known not to. So no tool can change the list of another.
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

// answerList answers a request for a list that is kept, and reports whether it did.
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

// listAnswer returns the response to the request: its own id, what is left of the time, and only what the tool may use.
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

// allowedItems returns those items of a list that the tool may call by a method.
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

// put keeps a list that was asked for after so many changes.
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

// drop forgets all lists: one of them has changed.
func (l *mcpLists) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists = nil
	l.changes++
}
