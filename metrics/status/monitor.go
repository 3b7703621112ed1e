package status

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"roamproxy/metrics"
)

// Monitor combines the current state of the metrics with the recent events, for the status page and its API. It may be used by many
// goroutines.
type Monitor struct {
	metrics *metrics.Metrics
	recent  *Recent
}

// New returns a Monitor of m. recent must be the Recorder of m.
func New(m *metrics.Metrics, recent *Recent) *Monitor { return &Monitor{m, recent} }

// Status returns the current status, on request with the history.
func (m *Monitor) Status(history bool) Status {
	now := m.metrics.State() // before Recent.mu is locked: see Recent
	s := Status{Build: now.Build, Now: time.Now(), Ready: now.Ready, Checks: now.Checks, Reloaded: now.Reloaded,
		Webhooks: webhookStatus(now.Webhooks)}
	waiting := make(map[string]int)
	for _, q := range now.Quotas {
		s.Quotas = append(s.Quotas, quotaStatus(q, waiting))
	}
	for _, c := range now.Credentials {
		status := CredentialStatus{Name: c.Name, OK: c.OK}
		if i := slices.IndexFunc(s.Checks, func(r metrics.CheckResult) bool { return r.Name == "credential "+c.Name }); i >= 0 {
			status.Problem = s.Checks[i].Problem
		}
		s.Credentials = append(s.Credentials, status)
	}
	s.Cache.Bytes, s.Cache.Entries = now.CacheBytes, now.CacheCount
	m.recent.addTo(&s, now.Tools, waiting, history)
	s.Summary = summarize(s, m.metrics.Reason)
	return s
}

// quotaStatus adds the queued calls of each tool to waiting.
func quotaStatus(now metrics.NamedQuota, waiting map[string]int) QuotaStatus {
	q := QuotaStatus{
		Name: now.Name, Tokens: now.Tokens, Burst: now.Burst, Rate: now.Rate, Configured: now.ConfiguredRate,
		Paused: now.Paused, PausedFor: now.PausedFor.Seconds(), HeldFor: now.HeldFor.Seconds(), PauseTotal: now.PauseTotal.Seconds(),
		Oldest: now.Oldest.Seconds(), Capacity: now.Capacity, InFlight: now.InFlight, MaxFlight: now.MaxInFlight, MaxOpen: now.MaxOpen,
		Shared: now.Shared, Replicas: now.Replicas, Queue: []Share{}, Holders: []Holder{},
	}
	for tool, n := range now.Length {
		if n > 0 {
			q.Queue = append(q.Queue, Share{tool, n})
			q.Waiting += n
			waiting[tool] += n
		}
	}
	slices.SortFunc(q.Queue, func(a, b Share) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Tool, b.Tool)) })
	tools := maps.Clone(now.Length)
	maps.Copy(tools, now.Slots)
	maps.Copy(tools, now.Open)
	for tool := range tools {
		h := Holder{tool, now.Length[tool], now.Slots[tool], now.Open[tool]}
		q.Open += h.Open
		if h.Queued+h.Slots+h.Open > 0 {
			q.Holders = append(q.Holders, h)
		}
	}
	slices.SortFunc(q.Holders, func(a, b Holder) int {
		return cmp.Or(b.Queued-a.Queued, b.Slots-a.Slots, b.Open-a.Open, cmp.Compare(a.Tool, b.Tool))
	})
	return q
}

// Watch takes a sample each second until ctx ends. It calls each with the previous and the new status.
func (m *Monitor) Watch(ctx context.Context, each func(before, now Status)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := m.sample()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := m.sample()
			each(before, now)
			before = now
		}
	}
}

func (m *Monitor) sample() Status {
	s := m.Status(false)
	m.recent.mu.Lock()
	defer m.recent.mu.Unlock()
	for _, q := range s.Quotas {
		events := m.recent.quotas[q.Name]
		if q.MaxFlight > 0 && q.InFlight >= q.MaxFlight && q.Tokens >= 1 {
			events.full.add(slotsFull{s.Now, slotsOf(q.Holders)})
		}
		events.history.add(Sample{
			At: s.Now.Unix(), Sent: events.sent, Throttled: events.throttled, Refused: events.refused,
			Waiting: q.Waiting, Tokens: q.Tokens, Paused: q.Paused, Held: q.HeldFor > 0,
		})
		events.sent, events.throttled, events.refused = 0, 0, 0
	}
	return s
}

// slotsOf returns the tools with calls in progress at Roam, those with most calls first.
func slotsOf(holders []Holder) (all []Share) {
	for _, h := range holders {
		if h.Slots > 0 {
			all = append(all, Share{h.Tool, h.Slots})
		}
	}
	slices.SortFunc(all, func(a, b Share) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Tool, b.Tool)) })
	return all
}
