package metrics

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Build says what runs, and since when.
type Build struct {
	Version  string    `json:"version"`
	Revision string    `json:"revision"`
	Started  time.Time `json:"started"`
}

// Status is everything that the status page shows, and what /api/status answers. Times are in seconds, counts are of the last
// ten minutes unless they say otherwise.
type Status struct {
	Build
	Now         time.Time          `json:"now"`
	Verdict     Verdict            `json:"verdict"`
	Ready       bool               `json:"ready"`
	Checks      []CheckResult      `json:"checks"`
	Quotas      []QuotaStatus      `json:"quotas"`
	Tools       []ToolStatus       `json:"tools"`
	Cache       CacheStatus        `json:"cache"`
	Credentials []CredentialStatus `json:"credentials"`
	Refusals    []Call             `json:"refusals"` // the last ones, the newest first
	Reloaded    bool               `json:"reloaded"` // the configuration in force is the latest that was asked for
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
	Shared     bool     `json:"shared"`   // with other replicas
	Replicas   int      `json:"replicas"` // who were heard lately, this one among them; 0 while it goes on alone
	Sent       int      `json:"sent"`
	Line       []Share  `json:"line"`              // who waits, the longest first
	History    []Sample `json:"history,omitempty"` // the oldest first
}

// Sample is one second of a quota's history.
type Sample struct {
	At        int64   `json:"t"` // seconds since 1970
	Sent      int     `json:"sent"`
	Throttled int     `json:"throttled"`
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

// Status tells what is true now, with the history where that is wanted.
func (m *Metrics) Status(history bool) Status {
	s := Status{Build: m.build, Now: time.Now(), Ready: true, Checks: m.Health.Results(), Reloaded: m.current.Load()}
	for _, c := range s.Checks {
		s.Ready = s.Ready && c.OK
	}
	m.state.mu.Lock()
	quotas, credentials, cache := m.state.quotas, m.state.credentials, m.state.cache
	m.state.mu.Unlock()
	waiting := make(map[string]int)
	for _, q := range quotas { // asked before the journal is locked: see there
		s.Quotas = append(s.Quotas, m.quotaStatus(q.name, q.ask(), waiting))
	}
	for _, c := range credentials {
		status := CredentialStatus{Name: c.name, OK: c.ask()}
		if i := slices.IndexFunc(s.Checks, func(r CheckResult) bool { return r.Name == "credential "+c.name }); i >= 0 {
			status.Problem = s.Checks[i].Problem
		}
		s.Credentials = append(s.Credentials, status)
	}
	if cache != nil {
		s.Cache.Bytes, s.Cache.Entries = cache()
	}
	m.journal.tell(&s, m.tools.all(), waiting, history)
	s.Verdict = verdict(s)
	return s
}

func (m *Metrics) quotaStatus(name string, now QuotaState, waiting map[string]int) QuotaStatus {
	q := QuotaStatus{
		Name: name, Tokens: now.Tokens, Burst: now.Burst, Rate: now.Rate, Configured: now.ConfiguredRate, Paused: now.Paused, PausedFor: now.PausedFor.Seconds(),
		PauseTotal: now.PauseTotal.Seconds(), Oldest: now.Oldest.Seconds(), Capacity: now.Capacity, InFlight: now.InFlight, Shared: now.Shared, Replicas: now.Replicas, Line: []Share{},
	}
	for tool, n := range m.state.lengths(now.Length) {
		if n > 0 {
			q.Line = append(q.Line, Share{tool, n})
			q.Waiting += n
			waiting[tool] += n
		}
	}
	slices.SortFunc(q.Line, func(a, b Share) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Tool, b.Tool)) })
	return q
}

// tell adds what is remembered.
func (j *journal) tell(s *Status, tools []string, waiting map[string]int, history bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	sent := 0
	for i := range s.Quotas {
		q := &s.Quotas[i]
		r := j.quotas[q.Name]
		q.Throttled, q.Sent = r.total, r.recent.sum(s.Now).Sent
		sent += q.Sent
		if p := r.pauses.newest(); p != nil {
			q.LastPause = p.until(s.Now).Sub(p.began).Seconds()
		}
		if history {
			for h := range r.history.backward() {
				q.History = append(q.History, *h)
			}
			slices.Reverse(q.History)
		} else if last := r.history.newest(); last != nil {
			q.History = []Sample{*last}
		}
	}
	for name := range j.tools {
		if !slices.Contains(tools, name) {
			tools = append(tools, name)
		}
	}
	for _, name := range tools {
		t := ToolStatus{Name: name, Waiting: waiting[name]}
		if w := j.tools[name]; w != nil {
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
	for route, w := range j.routes {
		if c := w.sum(s.Now); c.Calls > 0 {
			s.Cache.Routes = append(s.Cache.Routes, RouteStatus{Route: route, Saved: c.Saved(), Counts: c})
			s.Cache.Saved += c.Saved()
			s.Cache.Paged += c.Paged
		}
	}
	slices.SortFunc(s.Cache.Routes, func(a, b RouteStatus) int { return cmp.Or(b.Calls-a.Calls, cmp.Compare(a.Route, b.Route)) })
	for c := range j.refusals.backward() {
		s.Refusals = append(s.Refusals, *c)
	}
}

// Watch takes a sample each second until ctx ends, and tells of the status then and of that before.
func (m *Metrics) Watch(ctx context.Context, each func(before, now Status)) {
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

func (m *Metrics) sample() Status {
	s := m.Status(false)
	m.journal.mu.Lock()
	defer m.journal.mu.Unlock()
	for _, q := range s.Quotas {
		r := m.journal.quotas[q.Name]
		r.history.add(Sample{At: s.Now.Unix(), Sent: r.sent, Throttled: r.throttled, Waiting: q.Waiting, Tokens: q.Tokens, Paused: q.Paused})
		r.sent, r.throttled = 0, 0
	}
	return s
}
