// Package metrics counts what happens in roamproxy and exposes it to Prometheus. The other packages report to small interfaces of their
// own, which the types here implement. Current state, such as the length of a queue, is read at scrape time.
//
//	proxy, limiter, cache ──► server ──► Metrics ──► registry ──► /metrics
//	                                        │
//	                                        └──────► Recorder: metrics/status keeps the last minutes for the status page
package metrics

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds a Prometheus registry and all metrics in it. It may be used by many goroutines.
type Metrics struct {
	Health *Health

	registry     *prometheus.Registry
	rows         []row
	tools        *labels
	routes       *labels
	collector    *collector
	recorder     Recorder
	reasons      map[string]Reason // by code; not changed after New
	build        Build
	lastReloadOK atomic.Bool

	requests, upstream, throttled, pauses, refused *prometheus.CounterVec
	cacheResults, saved, repeats, superseded       *prometheus.CounterVec
	duration, upstreamDuration, queueWait          *prometheus.HistogramVec
	webhooks                                       *prometheus.CounterVec
	reloaded, reloadedAt, webhookLast              prometheus.Gauge
	webhookForward                                 prometheus.Observer
	webhookState                                   webhookState
	linesDropped                                   prometheus.Counter

	mu       sync.RWMutex // guards seriesOf
	seriesOf map[seriesKey]series
}

// row is one row of Table.
type row struct{ name, kind, help, labels string }

// Build identifies the running program, and says since when it runs.
type Build struct {
	Version  string    `json:"version"`
	Revision string    `json:"revision"`
	Started  time.Time `json:"started"`
}

// Recorder keeps events that a counter cannot show, such as the last refusals. The number of different tools and routes is bounded, because
// they are labels. It is called by many goroutines, also while a queue holds its lock, so it must not call Metrics.
type Recorder interface {
	// AddQuota is called before any event of the quota, and again for each reload.
	AddQuota(quota string)
	// Answered reports a request of a tool, with the labels under which it was counted, and whether roamproxy refused it.
	Answered(a Answer, tool, route string, refused bool)
	// Waited reports the end of a wait in the queue.
	Waited(quota, tool string, outcome Outcome, d time.Duration)
	// Throttled reports an answer 429 by Roam.
	Throttled(quota string)
	// PauseBegan and PauseEnded report a pause. A pause that is extended begins more than once.
	PauseBegan(quota string)
	PauseEnded(quota string)
}

// Options configures Metrics.
type Options struct {
	Version, Revision string
	Recorder          Recorder        // required
	MaxWaits          []time.Duration // longest waits of the quotas; see waitBuckets
	Reasons           []Reason        // every code that Answer.Reason may have
}

// New returns Metrics with a registry of its own. Every event goes to the recorder too.
func New(o Options) *Metrics {
	m := &Metrics{
		Health: &Health{}, registry: prometheus.NewRegistry(), tools: newLabels(maxTools), routes: newLabels(maxRoutes),
		recorder: o.Recorder, seriesOf: make(map[seriesKey]series), reasons: make(map[string]Reason),
		build: Build{o.Version, o.Revision, time.Now()},
	}
	for _, r := range o.Reasons {
		m.reasons[r.Code] = r
	}
	waits := waitBuckets(o.MaxWaits)
	m.requests = m.counter("roamproxy_requests_total",
		"Requests of tools that were answered, by cache result.", "tool", "route", "code", "cache")
	m.duration = m.histogram("roamproxy_request_duration_seconds",
		"Time from a tool's request to the end of its answer, the wait in the queue included. A hit takes well under a "+
			"millisecond.", waits, "tool", "cache")
	m.upstream = m.counter("roamproxy_upstream_requests_total",
		"Calls that were sent to Roam. Code 0: no answer came.", "quota", "route", "code")
	m.upstreamDuration = m.histogram("roamproxy_upstream_request_duration_seconds",
		"Time from sending a call to Roam to the header of its answer. A few hundred milliseconds are normal.",
		[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "quota")
	m.queueWait = m.histogram("roamproxy_queue_wait_seconds",
		"Time in the queue, by outcome: "+oneOf(Outcomes())+". Canceled: the tool left. Nearly zero while there are tokens.",
		waits, "quota", "tool", "outcome")
	m.refused = m.counter("roamproxy_refused_total", "Requests that roamproxy itself refused, by reason. Normally none.", "tool", "reason")
	m.pauses = m.counter("roamproxy_quota_pauses_total", "Pauses of the queue because Roam answered 429. Normally none.", "quota")
	m.throttled = m.counter("roamproxy_upstream_throttled_total",
		"Answers 429 by Roam. Normally none: more means that another client spends the quota.", "quota")
	m.cacheResults = m.counter("roamproxy_cache_requests_total", "Requests by cache result: "+oneOf(CacheResults())+".", "result")
	m.saved = m.counter("roamproxy_calls_saved_total",
		"Calls that Roam did not have to answer, by what saved them: hit, shared, stale, or page (wide pages).", "by")
	m.repeats = m.counter("roamproxy_repeats_total",
		"Repeated writes that were not sent to Roam again: unknown (the outcome of the first is unknown) or replayed (answered "+
			"with the first answer). Normally none.", "kind")
	m.superseded = m.counter("roamproxy_superseded_total",
		"Queued calls that were not sent, because a newer call about the same subject replaced them.", "route")
	m.webhooks = m.counter("roamproxy_webhooks_total",
		"Deliveries to webhooks.listen, by result: "+oneOf(WebhookResults())+". Normally accepted. Results other than accepted, "+
			"repeated and challenged are refusals or failures.",
		"result")
	m.webhookForward = m.histogram("roamproxy_webhook_forward_seconds",
		"Time until all receivers have accepted a webhook. Roam waits 3 s.", []float64{.01, .05, .1, .25, .5, 1, 2.5}).WithLabelValues()
	m.webhookLast = m.gauge("roamproxy_webhook_last_timestamp_seconds",
		"When the latest genuine webhook arrived, in seconds since 1970. 0: none has.")
	m.linesDropped = m.counter("roamproxy_log_lines_dropped_total",
		"Log lines that were not written: too many in one second, or the reader of the log is too slow. Normally none.").WithLabelValues()
	m.reloaded = m.gauge("roamproxy_config_last_reload_successful", "1 if the last reload succeeded. Normally 1.")
	m.reloadedAt = m.gauge("roamproxy_config_last_reload_success_timestamp_seconds",
		"When the configuration in force was loaded, in seconds since 1970.")
	m.Reloaded(true)
	build := m.gaugeVec("roamproxy_build_info", "The version that runs. The value is always 1.", "version", "revision", "goversion")
	build.WithLabelValues(o.Version, o.Revision, runtime.Version()).Set(1)
	m.collector = newCollector(m)
	m.registry.MustRegister(m.collector, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range CacheResults() {
		m.cacheResults.WithLabelValues(string(result))
	}
	for _, kind := range RepeatKinds() {
		m.repeats.WithLabelValues(string(kind))
	}
	m.superseded.WithLabelValues(other)
	for _, result := range WebhookResults() {
		m.webhooks.WithLabelValues(string(result))
	}
	m.saved.WithLabelValues(savedByPage)
	for _, result := range CacheResults() {
		if saves(result) {
			m.saved.WithLabelValues(string(result))
		}
	}
	return m
}

// waitBuckets returns the bounds for times that include a wait in the queue, from the millisecond of a hit to five minutes. There is a
// bound at every tenth of each longest wait, so the error of a quantile is at most a tenth. There is one at twice the longest wait, where
// the wait of an admitted call ends. 10 s is the bound of the agreed service level.
func waitBuckets(maxWaits []time.Duration) []float64 {
	bounds := []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 300}
	for _, longest := range maxWaits {
		for tenths := 1; tenths <= 10; tenths++ {
			bounds = append(bounds, (longest * time.Duration(tenths) / 10).Seconds())
		}
		bounds = append(bounds, 2*longest.Seconds())
	}
	slices.Sort(bounds)
	return slices.DeleteFunc(slices.Compact(bounds), func(b float64) bool { return b <= 0 })
}

func (m *Metrics) addRow(name, kind, help string, labels []string) {
	m.rows = append(m.rows, row{name, kind, help, strings.Join(labels, ", ")})
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	m.addRow(name, "counter", help, labels)
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	m.addRow(name, "gauge", help, labels)
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	return m.gaugeVec(name, help).WithLabelValues()
}

// histogram adds a histogram with classic buckets, and with native ones for a Prometheus that scrapes those.
func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	m.addRow(name, "histogram", help, labels)
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1, // neighbours differ by a tenth: enough to tell 10 s from 11 s
		NativeHistogramMaxBucketNumber:  160, // as the library recommends
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
	m.registry.MustRegister(h)
	return h
}

// Handler returns the handler of scrapes. It answers in OpenMetrics on request, which has exemplars.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Reloaded records whether the last reload succeeded.
func (m *Metrics) Reloaded(ok bool) {
	m.reloaded.Set(boolToFloat(ok))
	if ok {
		m.reloadedAt.SetToCurrentTime()
	}
	m.lastReloadOK.Store(ok)
}

// LineDropped counts a log line that was not written.
func (m *Metrics) LineDropped() { m.linesDropped.Inc() }

func boolToFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Table returns a table of all roamproxy metrics in Markdown, for deploy/OPERATING.md.
func (m *Metrics) Table() string {
	var t strings.Builder
	t.WriteString("| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, r := range m.rows {
		fmt.Fprintf(&t, "| `%s` | %s | %s | %s |\n", r.name, r.kind, r.labels, r.help)
	}
	return t.String()
}
