// Package status is the status page with its API, and the pages of health. It shows what metrics counts, and what Recent keeps of
// the last minutes: calls, refusals, pauses, and a history of each quota.
package status

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"roamproxy/metrics"
)

// Monitor joins the current state of the metrics with the recent events, for the status page and its API. It may be used by many
// goroutines.
type Monitor struct {
	metrics *metrics.Metrics
	recent  *Recent
}

// New returns a Monitor of m, whose recorder is recent.
func New(m *metrics.Metrics, recent *Recent) *Monitor { return &Monitor{m, recent} }

// Status is everything that the status page shows, and what /api/status answers. Times are in seconds, counts are of the last
// ten minutes unless they say otherwise.
type Status struct {
	metrics.Build
	Now         time.Time             `json:"now"`
	Summary     Summary               `json:"summary"`
	Ready       bool                  `json:"ready"`
	Checks      []metrics.CheckResult `json:"checks"`
	Quotas      []QuotaStatus         `json:"quotas"`
	Tools       []ToolStatus          `json:"tools"`
	Cache       CacheStatus           `json:"cache"`
	Credentials []CredentialStatus    `json:"credentials"`
	Refusals    []Refusals            `json:"refusals"` // of the last ten minutes, the latest first
	Reloaded    bool                  `json:"reloaded"` // the configuration in force is the latest that was asked for
}

// QuotaStatus is one quota now.
type QuotaStatus struct {
	Name       string   `json:"name"`
	Tokens     float64  `json:"tokens"`
	Burst      float64  `json:"burst"`
	Rate       float64  `json:"rate"`
	Configured float64  `json:"configured_rate"`
	Paused     bool     `json:"paused"`
	PausedFor  float64  `json:"paused_for_seconds"`
	PauseTotal float64  `json:"pause_seconds_total"` // since the start
	LastPause  float64  `json:"last_pause_seconds"`  // how long the pause of now, or the last one, has lasted
	Throttled  int      `json:"throttled_total"`     // Roam's 429 since the start
	Waiting    int      `json:"waiting"`
	Oldest     float64  `json:"oldest_seconds"`
	Capacity   int      `json:"capacity"`
	InFlight   int      `json:"in_flight"`
	MaxFlight  int      `json:"max_in_flight"`
	Open       int      `json:"open"` // answers that are being read
	MaxOpen    int      `json:"max_open"`
	Shared     bool     `json:"shared"`   // with other replicas
	Replicas   int      `json:"replicas"` // who were heard lately, this one among them; 0 while it goes on alone
	Sent       int      `json:"sent"`
	Queue      []Share  `json:"queue"` // queued calls by tool, the most first
	Holders    []Holder `json:"holders"`
	History    []Sample `json:"history,omitempty"` // the oldest first
}

// Holder is what one tool has of a quota now. Tools that have nothing are left out.
type Holder struct {
	Tool   string `json:"tool"`
	Queued int    `json:"queued"`
	Slots  int    `json:"in_flight"` // calls that Roam works on; always 0 where that is not known by tool
	Open   int    `json:"open"`      // answers that it is reading
}

// Sample is one second of a quota's history.
type Sample struct {
	At        int64   `json:"t"` // seconds since 1970
	Sent      int     `json:"sent"`
	Throttled int     `json:"throttled"` // by Roam
	Refused   int     `json:"refused"`   // by roamproxy
	Waiting   int     `json:"waiting"`
	Tokens    float64 `json:"tokens"`
	Paused    bool    `json:"paused"`
}

// maxSamples are ten minutes.
const maxSamples = 600

// ToolStatus is what one tool did.
type ToolStatus struct {
	Name    string  `json:"name"`
	Waiting int     `json:"waiting"` // now
	Share   float64 `json:"share"`   // of all turns, 0 to 1
	Saved   int     `json:"saved"`   // calls that Roam did not have to answer
	Mean    float64 `json:"mean_wait_seconds"`
	Longest float64 `json:"longest_wait_seconds"`
	Today   int     `json:"calls_today"`             // to Roam, since midnight UTC
	PerDay  int     `json:"calls_per_day,omitempty"` // that it may make
	Counts
}

// CacheStatus is what is kept.
type CacheStatus struct {
	Bytes   int64         `json:"bytes"`
	Entries int           `json:"entries"`
	Saved   int           `json:"saved"`
	Paged   int           `json:"paged"` // of those, by wide pages
	Routes  []RouteStatus `json:"routes"`
}

// RouteStatus is what became of the requests for one method of Roam.
type RouteStatus struct {
	Route string `json:"route"`
	Saved int    `json:"saved"`
	Counts
}

// CredentialStatus is whether a credential is in order.
type CredentialStatus struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// Status returns what is true now, with the history where that is wanted.
func (m *Monitor) Status(history bool) Status {
	now := m.metrics.State() // before Recent is locked: see there
	s := Status{Build: now.Build, Now: time.Now(), Ready: now.Ready, Checks: now.Checks, Reloaded: now.Reloaded}
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
		Paused: now.Paused, PausedFor: now.PausedFor.Seconds(), PauseTotal: now.PauseTotal.Seconds(),
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

// addTo adds the recent events to a status.
func (r *Recent) addTo(s *Status, configured map[string]metrics.ToolState, waiting map[string]int, history bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := 0
	for i := range s.Quotas {
		q := &s.Quotas[i]
		events := r.quotas[q.Name]
		q.Throttled, q.Sent = events.total, events.recent.sum(s.Now).Sent
		sent += q.Sent
		if p := events.pauses.newest(); p != nil {
			q.LastPause = p.until(s.Now).Sub(p.began).Seconds()
		}
		if history {
			for h := range events.history.backward() {
				q.History = append(q.History, *h)
			}
			slices.Reverse(q.History)
		} else if last := events.history.newest(); last != nil {
			q.History = []Sample{*last}
		}
	}
	tools := maps.Clone(configured)
	for name := range r.tools {
		tools[name] = configured[name] // all others share one name
	}
	for name := range tools {
		t := ToolStatus{Name: name, Waiting: waiting[name], Today: tools[name].CallsToday, PerDay: tools[name].CallsPerDay}
		if w := r.tools[name]; w != nil {
			t.Counts = w.sum(s.Now)
		}
		t.Saved, t.Longest = t.Counts.Saved(), t.Counts.Longest.Seconds()
		if t.Sent > 0 {
			t.Share, t.Mean = float64(t.Sent)/float64(sent), t.Waited.Seconds()/float64(t.Sent)
		}
		s.Tools = append(s.Tools, t)
	}
	slices.SortFunc(s.Tools, func(a, b ToolStatus) int {
		return cmp.Or(b.Sent-a.Sent, b.Calls-a.Calls, cmp.Compare(a.Name, b.Name))
	})
	for route, w := range r.routes {
		if c := w.sum(s.Now); c.Calls > 0 {
			s.Cache.Routes = append(s.Cache.Routes, RouteStatus{Route: route, Saved: c.Saved(), Counts: c})
			s.Cache.Saved += c.Saved()
			s.Cache.Paged += c.Paged
		}
	}
	slices.SortFunc(s.Cache.Routes, func(a, b RouteStatus) int { return cmp.Or(b.Calls-a.Calls, cmp.Compare(a.Route, b.Route)) })
	s.Refusals = r.refusals.list(s.Now)
}

// Watch takes a sample each second until ctx ends, and calls each with the status of then and the one before it.
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
			events.full.add(fullMoment{s.Now, slotsOf(q.Holders)})
		}
		events.history.add(Sample{At: s.Now.Unix(), Sent: events.sent, Throttled: events.throttled, Refused: events.refused, Waiting: q.Waiting, Tokens: q.Tokens, Paused: q.Paused})
		events.sent, events.throttled, events.refused = 0, 0, 0
	}
	return s
}

// slotsOf returns who has calls with Roam, the most first.
func slotsOf(holders []Holder) (all []Share) {
	for _, h := range holders {
		if h.Slots > 0 {
			all = append(all, Share{h.Tool, h.Slots})
		}
	}
	slices.SortFunc(all, func(a, b Share) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Tool, b.Tool)) })
	return all
}
