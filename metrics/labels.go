package metrics

import (
	"maps"
	"slices"
	"sync"
	"unicode/utf8"
)

// other is the label that all values beyond a bound share.
const other = "other"

// MaxName is the longest label value, in bytes. Roam's longest method has 40.
const MaxName = 100

const (
	maxRoutes = 200  // Roam has about 150 methods over its versions
	maxTools  = 1000 // far more than a company has, and far fewer than burden a Prometheus
)

// labels is a bounded set of label values, so that no caller can make the exposition grow without end.
type labels struct {
	max      int
	mu       sync.RWMutex // guards admitted
	admitted map[string]struct{}
}

func newLabels(most int) *labels { return &labels{max: most, admitted: make(map[string]struct{})} }

// add adds a value while there is room.
func (l *labels) add(name string) {
	if l.label(name) == name || len(name) > MaxName || !utf8.ValidString(name) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.admitted) < l.max {
		l.admitted[name] = struct{}{}
	}
}

// all returns the values, in no order.
func (l *labels) all() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Keys(l.admitted))
}

// label returns name if it was added, or else other.
func (l *labels) label(name string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if _, ok := l.admitted[name]; ok {
		return name
	}
	return other
}
