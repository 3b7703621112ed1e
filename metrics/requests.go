package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Answer is one request of a tool, answered.
type Answer struct {
	Tool, Route string
	Code        int
	Cache       string // hit, miss, shared, stale or bypass
	Duration    time.Duration
	TraceID     string // of the request's traceparent; empty without one
}

// Answered counts an answered request. A route becomes a label once Roam has answered it well, until then it is "other".
func (m *Metrics) Answered(a Answer) {
	tool, cache := m.tools.label(a.Tool), result(a.Cache)
	m.requests.WithLabelValues(tool, m.routes.label(a.Route), code(a.Code), cache).Inc()
	h := m.duration.WithLabelValues(tool, cache)
	if e, ok := h.(prometheus.ExemplarObserver); ok && len(a.TraceID) == 32 {
		e.ObserveWithExemplar(a.Duration.Seconds(), prometheus.Labels{"trace_id": a.TraceID})
		return
	}
	h.Observe(a.Duration.Seconds())
}

// Refused counts a request that roamproxy itself refused.
func (m *Metrics) Refused(tool, reason string) {
	m.refused.WithLabelValues(m.tools.label(tool), reason).Inc()
}

// CacheAnswered counts what became of a request in the cache, and the call that this saved.
func (m *Metrics) CacheAnswered(r string) {
	r = result(r)
	m.cached.WithLabelValues(r).Inc()
	switch r {
	case "hit", "shared", "stale":
		m.saved.WithLabelValues(r).Inc()
	}
}

func result(r string) string {
	switch r {
	case "hit", "miss", "shared", "stale", "bypass":
		return r
	}
	return other
}

// code is a status code as a label.
func code(c int) string {
	if c == 0 || c >= 100 && c <= 599 {
		return strconv.Itoa(c)
	}
	return other
}
