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
	duration  prometheus.Observer
}

// Quota returns the counters of a quota, the same ones for the same name. It creates the series of the tools at once, because a rate needs
// a zero before the first event.
func (m *Metrics) Quota(name string, tools []string) *Quota {
	q := &Quota{
		name: name, metrics: m, throttled: m.throttled.WithLabelValues(name), pauses: m.pauses.WithLabelValues(name),
		duration: m.upstreamDuration.WithLabelValues(name),
	}
	for _, tool := range tools {
		m.Tool(tool)
		m.queueWait.WithLabelValues(name, m.tools.label(tool), string(Sent))
	}
	m.upstream.WithLabelValues(name, other, "200")
	m.recorder.AddQuota(name)
	return q
}

// Tool makes a name a label value, and creates the series that alerts need. It creates no histograms: those of a thousand tools would
// burden the process and every scrape.
func (m *Metrics) Tool(name string) {
	m.tools.add(name)
	label := m.tools.label(name)
	for _, r := range m.reasons {
		if r.Limit {
			m.refused.WithLabelValues(label, r.Code)
		}
	}
	for _, cache := range CacheResults() {
		m.requests.WithLabelValues(label, other, "200", string(cache))
	}
}

// Waited counts the end of a wait in the queue.
func (q *Quota) Waited(tool string, outcome Outcome, d time.Duration) {
	tool = q.metrics.tools.label(tool)
	q.metrics.queueWait.WithLabelValues(q.name, tool, labelOf(outcome, Outcomes())).Observe(d.Seconds())
	q.metrics.recorder.Waited(q.name, tool, outcome, d)
}

// Throttled counts an answer 429 by Roam.
func (q *Quota) Throttled() {
	q.throttled.Inc()
	q.metrics.recorder.Throttled(q.name)
}

// PauseBegan counts a pause.
func (q *Quota) PauseBegan(time.Duration) {
	q.pauses.Inc()
	q.metrics.recorder.PauseBegan(q.name)
}

// PauseEnded notifies the recorder. The metric of the pauses' length is read at every scrape.
func (q *Quota) PauseEnded() { q.metrics.recorder.PauseEnded(q.name) }

// Sent counts a call that was sent to Roam, and the time until the header of its answer. Status 0: no answer came.
func (q *Quota) Sent(route string, status int, d time.Duration) {
	if status >= 200 && status < 400 {
		q.metrics.routes.add(route)
	}
	q.metrics.upstream.WithLabelValues(q.name, q.metrics.routes.label(route), code(status)).Inc()
	if status != 0 {
		q.duration.Observe(d.Seconds())
	}
}
