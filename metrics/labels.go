package metrics

import (
	"maps"
	"slices"
	"sync"
	"unicode/utf8"
)

// other stands for every label value beyond a bound.
const other = "other"

// MaxName is the longest label value, in bytes. Roam's longest method has 40.
const MaxName = 100

const (
	maxRoutes = 200  // Roam has about 150 methods over its versions
	maxTools  = 1000 // far beyond a company's tools, far below what burdens a Prometheus
)

// labels is a set of label values with a bound, so that no caller can make the exposition grow for ever.
type labels struct {
	most int
	mu   sync.RWMutex // guards seen
	seen map[string]struct{}
}

func newLabels(most int) *labels { return &labels{most: most, seen: make(map[string]struct{})} }

// add admits a value while there is room.
func (l *labels) add(name string) {
	if l.label(name) == name || len(name) > MaxName || !utf8.ValidString(name) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) < l.most {
		l.seen[name] = struct{}{}
	}
}

// all are the values that were admitted, in no order.
func (l *labels) all() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Keys(l.seen))
}

// label is the value itself if it was admitted, else other.
func (l *labels) label(name string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if _, ok := l.seen[name]; ok {
		return name
	}
	return other
}
