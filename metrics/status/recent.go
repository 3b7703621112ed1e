package status

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"roamproxy/metrics"
)

// Bounds of the recent events. A thousand calls are a quarter of an hour at one call a second, and two thousand permits half an hour. All
// events together take about a megabyte.
const (
	maxCalls   = 1000
	maxPermits = 2000
	maxPauses  = 100
)

// Call is a request whose call was sent, that got the answer of another one's call, or that was refused. Times are in seconds.
type Call struct {
	ID       string              `json:"id"`
	TraceID  string              `json:"trace_id,omitempty"`
	Tool     string              `json:"tool"`
	Method   string              `json:"method"`
	Route    string              `json:"route"`
	Quota    string              `json:"quota,omitempty"`
	Status   int                 `json:"status"`
	Cache    metrics.CacheResult `json:"cache"`
	Reason   string              `json:"reason,omitempty"` // the code of roamproxy's own answer
	Attempts int                 `json:"attempts"`
	Arrived  time.Time           `json:"arrived"`
	Queue    float64             `json:"queue_seconds"`
	Upstream float64             `json:"upstream_seconds"`
	Total    float64             `json:"total_seconds"`
}

// permit is the dispatch of a queued call.
type permit struct {
	tool   string
	at     time.Time
	waited time.Duration
}

// pause is one pause of a quota; its end is zero while it lasts.
type pause struct{ began, ended time.Time }

// until returns the end of the pause, or now while it lasts.
func (p pause) until(now time.Time) time.Time {
	if p.ended.IsZero() {
		return now
	}
	return p.ended
}

// slotsFull is a moment at which there were tokens, but every slot was in use.
type slotsFull struct {
	at    time.Time
	slots []Share // by tool, those with most calls first
}

// quotaEvents are the recent events of one quota.
type quotaEvents struct {
	permits   ring[permit]
	pauses    ring[pause]
	history   ring[Sample]
	full      ring[slotsFull]
	recent    rolling
	sent      int // since the last Sample; so are the next two
	throttled int
	refused   int
	total     int // Roam's 429 since the start
}

// Recent keeps the events of the last minutes for the status page. It implements metrics.Recorder. Queues call it with their own lock held,
// so Recent never calls another package while it holds its lock.
type Recent struct {
	mu       sync.Mutex // guards the following
	tools    map[string]*rolling
	routes   map[string]*rolling
	calls    ring[Call]
	refusals refusals
	quotas   map[string]*quotaEvents
}

// NewRecent returns an empty Recent.
func NewRecent() *Recent {
	return &Recent{
		tools: make(map[string]*rolling), routes: make(map[string]*rolling), quotas: make(map[string]*quotaEvents),
		calls: newRing[Call](maxCalls), refusals: make(refusals),
	}
}

// AddQuota adds a quota. It does nothing if there is one of this name.
func (r *Recent) AddQuota(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quotas[name] != nil {
		return
	}
	r.quotas[name] = &quotaEvents{
		permits: newRing[permit](maxPermits), pauses: newRing[pause](maxPauses),
		history: newRing[Sample](maxSamples), full: newRing[slotsFull](maxSamples),
	}
}

func counts(of map[string]*rolling, name string, now time.Time) *Counts {
	w := of[name]
	if w == nil {
		w = &rolling{}
		of[name] = w
	}
	return w.at(now)
}

// Answered adds a request. The number of different tools and routes is bounded, because they are labels.
func (r *Recent) Answered(a metrics.Answer, tool, route string, refused bool) {
	now := time.Now()
	c := Counts{Calls: 1}
	switch a.Cache {
	case metrics.Hit:
		c.Hit = 1
	case metrics.Miss:
		c.Miss = 1
	case metrics.Shared:
		c.Shared = 1
	case metrics.Stale:
		c.Stale = 1
	default:
		c.Bypass = 1
	}
	if a.Paged {
		c.Paged = 1
	}
	if refused {
		c.Refused = 1
	} else if a.Code >= 500 {
		c.Failed = 1
	}
	noted := a.Attempts > 0 || a.Reason != "" || a.Cache == metrics.Shared // hits do not wait, and would push out the calls that do
	r.mu.Lock()
	defer r.mu.Unlock()
	counts(r.tools, tool, now).add(c)
	counts(r.routes, route, now).add(c)
	if !noted {
		return
	}
	call := Call{
		ID: a.ID, TraceID: a.TraceID, Tool: tool, Method: truncate(a.Method), Route: truncate(a.Route),
		Quota: a.Quota, Status: a.Code, Cache: a.Cache, Reason: a.Reason, Attempts: a.Attempts, Arrived: now.Add(-a.Duration),
		Queue: a.Queue.Seconds(), Upstream: a.Upstream.Seconds(), Total: a.Duration.Seconds(),
	}
	r.calls.add(call)
	if c.Refused > 0 {
		r.refusals.add(call, now)
		if q := r.quotas[a.Quota]; q != nil {
			q.refused++
		}
	}
}

// truncate bounds a string that a caller chooses, and copies it, so that the memory of the request can be freed.
func truncate(s string) string { return strings.Clone(s[:min(len(s), metrics.MaxName)]) }

// Waited adds the end of a wait in the queue.
func (r *Recent) Waited(quota, tool string, outcome metrics.Outcome, d time.Duration) {
	if outcome != metrics.Sent {
		return
	}
	now := time.Now()
	c := Counts{Sent: 1, Waited: d, Longest: d}
	r.mu.Lock()
	defer r.mu.Unlock()
	counts(r.tools, tool, now).add(c)
	q := r.quotas[quota]
	q.recent.at(now).add(c)
	q.permits.add(permit{tool, now, d})
	q.sent++
}

// Throttled adds an answer 429 by Roam.
func (r *Recent) Throttled(quota string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quotas[quota].throttled++
	r.quotas[quota].total++
}

// PauseBegan adds a pause, unless one lasts already.
func (r *Recent) PauseBegan(quota string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pauses := &r.quotas[quota].pauses
	if last := pauses.newest(); last == nil || !last.ended.IsZero() {
		pauses.add(pause{began: time.Now()})
	}
}

// PauseEnded ends the pause, if there is one.
func (r *Recent) PauseEnded(quota string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.quotas[quota].pauses.newest(); last != nil && last.ended.IsZero() {
		last.ended = time.Now()
	}
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
		tools[name] = configured[name] // includes other, the label that unknown tools share
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
