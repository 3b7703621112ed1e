package metrics

import (
	"maps"
	"slices"
	"sync"
	"unicode/utf8"
)

// other stands for every label value beyond a bound.
const other = "other"

const (
	maxRoutes = 200  // Roam has about 150 methods over its versions
	maxTools  = 1000 // far beyond a company's tools, far below what burdens a Prometheus
	maxName   = 100  // bytes of a label value; Roam's longest method has 40
)

// names is a set of label values with a bound, so that no caller can make the exposition grow for ever.
type names struct {
	most int
	mu   sync.RWMutex // guards seen
	seen map[string]struct{}
}

func newNames(most int) *names { return &names{most: most, seen: make(map[string]struct{})} }

// learn admits a value while there is room.
func (n *names) learn(name string) {
	if n.label(name) == name || len(name) > maxName || !utf8.ValidString(name) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seen) < n.most {
		n.seen[name] = struct{}{}
	}
}

// all are the values that were admitted, in no order.
func (n *names) all() []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return slices.Collect(maps.Keys(n.seen))
}

// label is the value itself if it was admitted, else other.
func (n *names) label(name string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if _, ok := n.seen[name]; ok {
		return name
	}
	return other
}
