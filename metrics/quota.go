package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Quota counts what happens at one quota. Its methods may be called by many goroutines.
type Quota struct {
	name      string
	metrics   *Metrics
	throttled prometheus.Counter
	pauses    prometheus.Counter
	exchange  prometheus.Observer
}

// Quota begins to count for a quota. Its state is asked at every scrape. The tools have series from the start, so that an alert
// on what never happened yet is not blind. It must be called once for each name.
func (m *Metrics) Quota(name string, tools []string, state func() QuotaState) *Quota {
	q := &Quota{name: name, metrics: m, throttled: m.throttled.WithLabelValues(name), pauses: m.pauses.WithLabelValues(name), exchange: m.exchange.WithLabelValues(name)}
	for _, tool := range tools {
		m.Tool(tool)
		m.waited.WithLabelValues(name, m.tools.label(tool), "sent")
	}
	m.state.add(name, state)
	return q
}

// Tool makes a name a label value from now on.
func (m *Metrics) Tool(name string) {
	m.tools.learn(name)
	for _, reason := range []string{"queue_full", "wait_too_long", "paused"} {
		m.refused.WithLabelValues(m.tools.label(name), reason)
	}
}

// Waited counts the end of a wait in the line.
func (q *Quota) Waited(tool, outcome string, d time.Duration) {
	q.metrics.waited.WithLabelValues(q.name, q.metrics.tools.label(tool), outcome).Observe(d.Seconds())
}

// Throttled counts an answer 429 by Roam.
func (q *Quota) Throttled() { q.throttled.Inc() }

// PauseBegan counts a pause.
func (q *Quota) PauseBegan(time.Duration) { q.pauses.Inc() }

// PauseEnded needs no counting: how long the pauses were is asked at every scrape.
func (q *Quota) PauseEnded() {}

// Sent counts a call that really went to Roam, and how long the header of its answer took. Status 0: none came.
func (q *Quota) Sent(route string, status int, d time.Duration) {
	if status >= 200 && status < 400 {
		q.metrics.routes.learn(route)
	}
	q.metrics.upstream.WithLabelValues(q.name, q.metrics.routes.label(route), code(status)).Inc()
	if status != 0 {
		q.exchange.Observe(d.Seconds())
	}
}
