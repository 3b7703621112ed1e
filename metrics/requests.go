package metrics

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Answer is one request of a tool, answered.
type Answer struct {
	ID                  string // X-Request-Id
	TraceID             string // of the request's traceparent; empty without one
	Tool, Method, Route string
	Quota               string
	Code                int
	Reason              string // of an answer of roamproxy's own; empty when it is Roam's
	Cache               string // hit, miss, shared, stale or bypass
	Queue, Upstream     time.Duration
	Duration            time.Duration
	Attempts            int  // calls to Roam
	Paged               bool // a hit or shared answer that only a wide page made possible
}

// refused tells whether roamproxy itself refused, rather than Roam or the network.
func (a Answer) refused() bool {
	switch a.Reason {
	case "", "upstream_unreachable", "upstream_timeout", "credential", "canceled", "only_if_cached":
		return false
	}
	return true
}

// Answered counts an answered request. A route becomes a label once Roam has answered it well, until then it is "other".
func (m *Metrics) Answered(a Answer) {
	tool, route, cache := m.tools.label(a.Tool), m.routes.label(a.Route), result(a.Cache)
	m.requests.WithLabelValues(tool, route, code(a.Code), cache).Inc()
	m.journal.answered(a, tool, route, time.Now())
	if a.Reason == "" {
		m.cacheAnswered(cache, a.Paged)
	} else if a.refused() {
		m.refused.WithLabelValues(tool, known(a.Reason, reasons())).Inc()
	}
	h := m.duration.WithLabelValues(tool, cache)
	if e, ok := h.(prometheus.ExemplarObserver); ok && len(a.TraceID) == 32 {
		e.ObserveWithExemplar(a.Duration.Seconds(), prometheus.Labels{"trace_id": a.TraceID})
		return
	}
	h.Observe(a.Duration.Seconds())
}

// reasons are those of refusals, as tools see them in Roamproxy-Error. The first are those of the line.
func reasons() []string {
	return []string{
		"queue_full", "wait_too_long", "paused", "budget",
		"unauthorized", "not_allowed", "browser", "host", "bad_request", "body_too_large", "unsupported", "shutting_down",
	}
}

const lineReasons = 4

// cacheAnswered counts what became of a request in the cache, and the call that this saved.
func (m *Metrics) cacheAnswered(result string, paged bool) {
	m.cached.WithLabelValues(result).Inc()
	switch result {
	case "hit", "shared", "stale":
		if paged {
			result = "page"
		}
		m.saved.WithLabelValues(result).Inc()
	}
}

func results() []string { return []string{"hit", "miss", "shared", "stale", "bypass"} }

func result(r string) string {
	switch r {
	case "hit", "miss", "shared", "stale", "bypass":
		return r
	}
	return other
}

// known is v if it is one of values, else other.
func known(v string, values []string) string {
	if slices.Contains(values, v) {
		return v
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
