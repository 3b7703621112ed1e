package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// QuotaState is one quota at the moment of a scrape.
type QuotaState struct {
	Tokens, Burst, Rate             float64 // as they are in force
	ConfiguredRate, ConfiguredBurst float64 // as configured
	Paused                          bool
	PausedFor                       time.Duration  // until the next call may be tried
	PauseTotal                      time.Duration  // spent in pauses since the start
	HeldFor                         time.Duration  // until a pause by hand ends; 0: there is none
	Length                          map[string]int // queued calls by tool
	Slots                           map[string]int // calls in progress at Roam, by tool
	Open                            map[string]int // open responses, by tool
	Oldest                          time.Duration
	Jitter                          time.Duration // spread of the time to the first byte
	Capacity, InFlight              int
	MaxInFlight, MaxOpen            int
	Shared                          bool // with other replicas
	Replicas                        int  // live replicas, this one included; 0 while Redis is unreachable
}

// State is everything that the collector reads at a scrape. The status page shows it too.
type State struct {
	Build
	Checks      []CheckResult
	Ready       bool // no check fails
	Reloaded    bool // the last reload succeeded
	Quotas      []NamedQuota
	Credentials []NamedCredential
	CacheBytes  int64
	CacheCount  int
	Tools       map[string]ToolState // by label
	Webhooks    WebhookState
}

// NamedQuota is the state of one quota. Length, Slots and Open are by label: each known tool has a value, and all others share one.
type NamedQuota struct {
	Name string
	QuotaState
}

// NamedCredential is the state of one credential.
type NamedCredential struct {
	Name string
	OK   bool
}

// ToolState is the configuration of one tool, and its calls of today.
type ToolState struct {
	Weight      int // share of the quota while other tools wait, relative to their weights; 0 counts as 1
	CallsPerDay int // calls to Roam that it may make in a day of UTC; 0: no limit
	CallsToday  int
}

// collector reads current state at each scrape.
type collector struct {
	m    *Metrics
	desc map[string]*prometheus.Desc

	mu          sync.Mutex // guards the following
	quotas      []source[QuotaState]
	credentials []source[bool]
	cache       func() (bytes int64, entries int)
	redis       func() bool
	tools       func() map[string]ToolState
}

type source[T any] struct {
	name string
	ask  func() T
}

// withSource returns all with ask as the source of name, or without it if ask is nil. It does not change all, which others may be reading.
func withSource[T any](all []source[T], name string, ask func() T) []source[T] {
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

func newCollector(m *Metrics) *collector {
	c := &collector{m: m, desc: make(map[string]*prometheus.Desc)}
	describe := func(name, kind, help string, labels ...string) {
		m.addRow(name, kind, help, labels)
		c.desc[name] = prometheus.NewDesc(name, help, labels, nil)
	}
	describe("roamproxy_upstream_jitter_seconds", "gauge",
		"Spread of the time to the first byte of Roam's answers, over the last 256 calls without the slowest hundredth. "+
			"The setting jitter need not exceed it, because it includes Roam's processing time.", "quota")
	describe("roamproxy_upstream_in_flight", "gauge", "Calls that Roam works on now. At most max_in_flight.", "quota")
	describe("roamproxy_upstream_open", "gauge",
		"Answers of Roam that the tool is reading now, event streams included. At most max_open for all tools together.", "quota", "tool")
	describe("roamproxy_queue_length", "gauge", "Queued calls. Usually zero.", "quota", "tool")
	describe("roamproxy_queue_oldest_seconds", "gauge", "How long the oldest queued call has waited. Usually zero.", "quota")
	describe("roamproxy_queue_capacity", "gauge", "Calls that the queue can hold (max_queue).", "quota")
	describe("roamproxy_quota_tokens", "gauge", "Tokens in the bucket: calls that could be sent at once now.", "quota")
	describe("roamproxy_quota_burst", "gauge",
		"Largest number of calls that can be sent at once, without the part reserved for the jitter of the network.", "quota")
	describe("roamproxy_quota_rate", "gauge", "The rate in force: calls a second while calls are queued.", "quota")
	describe("roamproxy_quota_configured_rate", "gauge",
		"The configured rate. A lower rate in force means that another client spends the quota, or that Redis is unreachable.", "quota")
	describe("roamproxy_quota_configured_burst", "gauge", "The configured burst.", "quota")
	describe("roamproxy_quota_paused", "gauge", "1 while the queue is paused because Roam answered 429. Normally 0.", "quota")
	describe("roamproxy_quota_pause_seconds_total", "counter", "Time that the queue was paused because Roam answered 429.", "quota")
	describe("roamproxy_tool_weight", "gauge",
		"The tool's share of the quota while other tools wait too, relative to their weights. 1 unless configured.", "tool")
	describe("roamproxy_tool_calls_today", "gauge",
		"Calls to Roam that the tool made since midnight UTC. Only where calls_per_day is set.", "tool")
	describe("roamproxy_tool_calls_per_day", "gauge",
		"Calls to Roam that the tool may make in a day of UTC. Only where calls_per_day is set.", "tool")
	describe("roamproxy_cache_bytes", "gauge", "Memory that cached answers take.")
	describe("roamproxy_cache_entries", "gauge", "Answers in the cache.")
	describe("roamproxy_ready", "gauge",
		"0 when calls cannot succeed for a reason that an operator must fix; /readyz names it. Normally 1.")
	describe("roamproxy_credential_ok", "gauge", "0 when Roam refused the credential, or it cannot be read. Normally 1.", "credential")
	describe("roamproxy_redis_up", "gauge",
		"0 while Redis is unreachable and this replica continues alone. Only where redis.url is set. Normally 1.")
	return c
}

// QuotaState sets the source of the state of a quota, which is asked at every scrape; nil removes the quota.
func (m *Metrics) QuotaState(name string, ask func() QuotaState) {
	m.collector.mu.Lock()
	defer m.collector.mu.Unlock()
	m.collector.quotas = withSource(m.collector.quotas, name, ask)
}

// Credential sets the source of whether a credential is accepted, which is asked at every scrape; nil removes the credential.
func (m *Metrics) Credential(name string, ok func() bool) {
	m.collector.mu.Lock()
	defer m.collector.mu.Unlock()
	m.collector.credentials = withSource(m.collector.credentials, name, ok)
}

// CacheState sets the source of the size of the cache, which is asked at every scrape.
func (m *Metrics) CacheState(ask func() (bytes int64, entries int)) {
	m.collector.mu.Lock()
	defer m.collector.mu.Unlock()
	m.collector.cache = ask
}

// ToolState sets the source of the configured tools, which is asked at every scrape. Other tools have weight 1 and no budget.
func (m *Metrics) ToolState(ask func() map[string]ToolState) {
	m.collector.mu.Lock()
	defer m.collector.mu.Unlock()
	m.collector.tools = ask
}

// RedisState sets the source of whether Redis is reachable, which is asked at every scrape; nil: nothing is shared.
func (m *Metrics) RedisState(up func() bool) {
	m.collector.mu.Lock()
	defer m.collector.mu.Unlock()
	m.collector.redis = up
}

// Describe and Collect implement prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		out <- d
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.desc[name], kind, value, labels...)
	}
	s := c.m.State()
	for _, q := range s.Quotas {
		for name, value := range map[string]float64{
			"roamproxy_upstream_in_flight":      float64(q.InFlight),
			"roamproxy_upstream_jitter_seconds": q.Jitter.Seconds(),
			"roamproxy_queue_oldest_seconds":    q.Oldest.Seconds(),
			"roamproxy_queue_capacity":          float64(q.Capacity),
			"roamproxy_quota_tokens":            q.Tokens,
			"roamproxy_quota_burst":             q.Burst,
			"roamproxy_quota_rate":              q.Rate,
			"roamproxy_quota_configured_rate":   q.ConfiguredRate,
			"roamproxy_quota_configured_burst":  q.ConfiguredBurst,
			"roamproxy_quota_paused":            boolToFloat(q.Paused),
		} {
			send(prometheus.GaugeValue, name, value, q.Name)
		}
		send(prometheus.CounterValue, "roamproxy_quota_pause_seconds_total", q.PauseTotal.Seconds(), q.Name)
		for tool, length := range q.Length {
			send(prometheus.GaugeValue, "roamproxy_queue_length", float64(length), q.Name, tool)
		}
		for tool, open := range q.Open {
			send(prometheus.GaugeValue, "roamproxy_upstream_open", float64(open), q.Name, tool)
		}
	}
	for name, tool := range s.Tools {
		send(prometheus.GaugeValue, "roamproxy_tool_weight", float64(tool.Weight), name)
		if tool.CallsPerDay > 0 {
			send(prometheus.GaugeValue, "roamproxy_tool_calls_today", float64(tool.CallsToday), name)
			send(prometheus.GaugeValue, "roamproxy_tool_calls_per_day", float64(tool.CallsPerDay), name)
		}
	}
	send(prometheus.GaugeValue, "roamproxy_ready", boolToFloat(s.Ready))
	for _, k := range s.Credentials {
		send(prometheus.GaugeValue, "roamproxy_credential_ok", boolToFloat(k.OK), k.Name)
	}
	c.mu.Lock()
	redis, cache := c.redis, c.cache
	c.mu.Unlock()
	if redis != nil {
		send(prometheus.GaugeValue, "roamproxy_redis_up", boolToFloat(redis()))
	}
	if cache != nil {
		send(prometheus.GaugeValue, "roamproxy_cache_bytes", float64(s.CacheBytes))
		send(prometheus.GaugeValue, "roamproxy_cache_entries", float64(s.CacheCount))
	}
}

// State reads everything now. No lock of this package is held while the sources are asked.
func (m *Metrics) State() State {
	s := State{Build: m.build, Checks: m.Health.Results(), Ready: true, Reloaded: m.lastReloadOK.Load(), Tools: make(map[string]ToolState),
		Webhooks: m.webhookState.get()}
	for _, check := range s.Checks {
		s.Ready = s.Ready && check.OK
	}
	c := m.collector
	c.mu.Lock()
	quotas, credentials, cache, tools := c.quotas, c.credentials, c.cache, c.tools
	c.mu.Unlock()
	for _, tool := range m.tools.all() {
		s.Tools[tool] = ToolState{Weight: 1}
	}
	if tools != nil {
		for name, t := range tools() {
			if label := m.tools.label(name); label == name {
				t.Weight = max(t.Weight, 1)
				s.Tools[name] = t
			}
		}
	}
	for _, q := range quotas {
		state := q.ask()
		state.Length, state.Open, state.Slots = m.byLabel(state.Length), m.byLabel(state.Open), m.byLabel(state.Slots)
		s.Quotas = append(s.Quotas, NamedQuota{q.name, state})
	}
	for _, k := range credentials {
		s.Credentials = append(s.Credentials, NamedCredential{k.name, k.ask()})
	}
	if cache != nil {
		s.CacheBytes, s.CacheCount = cache()
	}
	return s
}

// byLabel sums the tools that share the label other, and gives every known tool a zero.
func (m *Metrics) byLabel(tools map[string]int) map[string]int {
	all := make(map[string]int)
	for _, tool := range m.tools.all() {
		all[tool] = 0
	}
	for tool, n := range tools {
		all[m.tools.label(tool)] += n
	}
	return all
}
