package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// QuotaState is what is true of a quota at the moment of a scrape.
type QuotaState struct {
	Tokens, Burst, Rate             float64 // as they are in force
	ConfiguredRate, ConfiguredBurst float64 // as they were set
	Paused                          bool
	PausedFor                       time.Duration // until the next call may be tried
	PauseTotal                      time.Duration // spent in pauses since the start
	Length                          map[string]int
	Oldest                          time.Duration
	Jitter                          time.Duration // by how much the time to the first byte varies
	Capacity, InFlight              int
	Shared                          bool // with other replicas
	Replicas                        int  // who were heard lately, this one among them; 0 while it goes on alone
}

// state is the collector of everything that exists already somewhere else.
type state struct {
	m    *Metrics
	desc map[string]*prometheus.Desc

	mu          sync.Mutex // guards the following
	quotas      []source[QuotaState]
	credentials []source[bool]
	cache       func() (bytes int64, entries int)
	redis       func() bool
}

type source[T any] struct {
	name string
	ask  func() T
}

// put has name asked by ask from now on, or, when that is nil, no more. Whoever reads all meanwhile is not disturbed.
func put[T any](all []source[T], name string, ask func() T) []source[T] {
	var next []source[T]
	for _, s := range all {
		if s.name != name {
			next = append(next, s)
		}
	}
	if ask != nil {
		next = append(next, source[T]{name, ask})
	}
	return next
}

func newState(m *Metrics) *state {
	s := &state{m: m, desc: make(map[string]*prometheus.Desc)}
	describe := func(name, kind, help string, labels ...string) {
		m.note(name, kind, help, labels)
		s.desc[name] = prometheus.NewDesc(name, help, labels, nil)
	}
	describe("roamproxy_upstream_jitter_seconds", "gauge", "How much the time to the first byte of Roam's answers varies, over the latest 256 calls without the slowest hundredth. The setting jitter need be no larger; Roam's own work is in it.", "quota")
	describe("roamproxy_upstream_in_flight", "gauge", "Calls that are with Roam now. At most max_in_flight.", "quota")
	describe("roamproxy_queue_length", "gauge", "Calls that wait in the line. Usually zero.", "quota", "tool")
	describe("roamproxy_queue_oldest_seconds", "gauge", "How long the call that came first has waited. Usually zero.", "quota")
	describe("roamproxy_queue_capacity", "gauge", "Calls that the line can hold.", "quota")
	describe("roamproxy_quota_tokens", "gauge", "Calls that could go at once now.", "quota")
	describe("roamproxy_quota_burst", "gauge", "Calls that can ever go at once, without the part held back for the network's jitter.", "quota")
	describe("roamproxy_quota_rate", "gauge", "Calls a second that are sent when more wait.", "quota")
	describe("roamproxy_quota_configured_rate", "gauge", "Calls a second as configured. A rate in force below it means that somebody else spends the quota, or that Redis is away.", "quota")
	describe("roamproxy_quota_configured_burst", "gauge", "Calls at once as configured.", "quota")
	describe("roamproxy_quota_paused", "gauge", "1 while the line stands still because Roam answered 429. Normally 0.", "quota")
	describe("roamproxy_quota_pause_seconds_total", "counter", "Time that the line has stood still because Roam answered 429.", "quota")
	describe("roamproxy_cache_bytes", "gauge", "Memory that kept answers take.")
	describe("roamproxy_cache_entries", "gauge", "Answers that are kept.")
	describe("roamproxy_ready", "gauge", "0 when calls cannot go through for a reason that somebody must mend; /readyz names it. Normally 1.")
	describe("roamproxy_credential_ok", "gauge", "0 when Roam refused the credential or it cannot be read. Normally 1.", "credential")
	describe("roamproxy_redis_up", "gauge", "0 while Redis is away and this replica goes on alone; only where redis.url is set. Normally 1.")
	return s
}

// QuotaState asks at every scrape for the state of a quota; nil: there is no such quota any more.
func (m *Metrics) QuotaState(name string, ask func() QuotaState) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	m.state.quotas = put(m.state.quotas, name, ask)
}

// Credential asks at every scrape whether a credential is in order; nil: there is no such credential any more.
func (m *Metrics) Credential(name string, ok func() bool) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	m.state.credentials = put(m.state.credentials, name, ok)
}

// CacheState asks at every scrape how much is kept.
func (m *Metrics) CacheState(ask func() (bytes int64, entries int)) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	m.state.cache = ask
}

// RedisState asks at every scrape whether Redis is there. Where nothing is shared nobody need ask.
func (m *Metrics) RedisState(up func() bool) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	m.state.redis = up
}

// Describe and Collect make it a prometheus.Collector.
func (s *state) Describe(out chan<- *prometheus.Desc) {
	for _, d := range s.desc {
		out <- d
	}
}

func (s *state) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tell := func(kind prometheus.ValueType, name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(s.desc[name], kind, value, labels...)
	}
	for _, q := range s.quotas {
		now := q.ask()
		for name, value := range map[string]float64{
			"roamproxy_upstream_in_flight":     float64(now.InFlight),
			"roamproxy_queue_oldest_seconds":   now.Oldest.Seconds(),
			"roamproxy_queue_capacity":         float64(now.Capacity),
			"roamproxy_quota_tokens":           now.Tokens,
			"roamproxy_quota_burst":            now.Burst,
			"roamproxy_quota_rate":             now.Rate,
			"roamproxy_quota_configured_rate":  now.ConfiguredRate,
			"roamproxy_quota_configured_burst": now.ConfiguredBurst,
			"roamproxy_quota_paused":           number(now.Paused),
		} {
			tell(prometheus.GaugeValue, name, value, q.name)
		}
		tell(prometheus.CounterValue, "roamproxy_quota_pause_seconds_total", now.PauseTotal.Seconds(), q.name)
		for tool, length := range s.lengths(now.Length) {
			tell(prometheus.GaugeValue, "roamproxy_queue_length", float64(length), q.name, tool)
		}
	}
	ready := true
	for _, check := range s.m.Health.Results() {
		ready = ready && check.OK
	}
	tell(prometheus.GaugeValue, "roamproxy_ready", number(ready))
	for _, c := range s.credentials {
		tell(prometheus.GaugeValue, "roamproxy_credential_ok", number(c.ask()), c.name)
	}
	if s.redis != nil {
		tell(prometheus.GaugeValue, "roamproxy_redis_up", number(s.redis()))
	}
	if s.cache != nil {
		bytes, entries := s.cache()
		tell(prometheus.GaugeValue, "roamproxy_cache_bytes", float64(bytes))
		tell(prometheus.GaugeValue, "roamproxy_cache_entries", float64(entries))
	}
}

// lengths adds up what shares the label other, and gives every known tool a zero.
func (s *state) lengths(waiting map[string]int) map[string]int {
	all := make(map[string]int)
	for _, tool := range s.m.tools.all() {
		all[tool] = 0
	}
	for tool, n := range waiting {
		all[s.m.tools.label(tool)] += n
	}
	return all
}
