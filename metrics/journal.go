package metrics

import (
	"strings"
	"sync"
	"time"
)

// What is kept in memory. A thousand calls are a quarter of an hour of the usual quota, two thousand turns half an hour; all of
// it together takes well under a megabyte.
const (
	maxCalls    = 1000
	maxRefusals = 50
	maxTurns    = 2000
	maxPauses   = 100
)

// Call is one that was sent, that shared another's answer, or that was refused. Times are in seconds.
type Call struct {
	ID       string    `json:"id"`
	TraceID  string    `json:"trace_id,omitempty"`
	Tool     string    `json:"tool"`
	Method   string    `json:"method"`
	Route    string    `json:"route"`
	Quota    string    `json:"quota,omitempty"`
	Status   int       `json:"status"`
	Cache    string    `json:"cache"`
	Reason   string    `json:"reason,omitempty"` // of an answer of our own
	Attempts int       `json:"attempts"`
	Arrived  time.Time `json:"arrived"`
	Queue    float64   `json:"queue_seconds"`
	Upstream float64   `json:"upstream_seconds"`
	Total    float64   `json:"total_seconds"`
}

// turn is a call of a tool that left the line.
type turn struct {
	tool string
	at   time.Time
}

// span is a pause; its end is zero while it lasts.
type span struct{ began, ended time.Time }

// until is its end, or now while it lasts.
func (s span) until(now time.Time) time.Time {
	if s.ended.IsZero() {
		return now
	}
	return s.ended
}

// record is what is remembered of one quota.
type record struct {
	turns     ring[turn]
	pauses    ring[span]
	history   ring[Sample]
	recent    window
	sent      int // since the last Sample
	throttled int
	total     int // of Roam's 429
}

// journal remembers what the status page tells. Its lock is taken while a queue holds its own, so nothing outside of this
// package is asked with it held.
type journal struct {
	mu       sync.Mutex // guards the following
	tools    map[string]*window
	routes   map[string]*window
	calls    ring[Call]
	refusals ring[Call]
	quotas   map[string]*record
}

func newJournal() *journal {
	return &journal{
		tools: make(map[string]*window), routes: make(map[string]*window), quotas: make(map[string]*record),
		calls: newRing[Call](maxCalls), refusals: newRing[Call](maxRefusals),
	}
}

// quota adds one, if it is not there already.
func (j *journal) quota(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.quotas[name] != nil {
		return
	}
	j.quotas[name] = &record{turns: newRing[turn](maxTurns), pauses: newRing[span](maxPauses), history: newRing[Sample](maxSamples)}
}

func counts(of map[string]*window, name string, now time.Time) *Counts {
	w := of[name]
	if w == nil {
		w = &window{}
		of[name] = w
	}
	return w.at(now)
}

// answered takes note of a request. tool and route are labels, and so bounded.
func (j *journal) answered(a Answer, tool, route string, now time.Time) {
	c := Counts{Calls: 1}
	switch a.Cache {
	case "hit":
		c.Hit = 1
	case "miss":
		c.Miss = 1
	case "shared":
		c.Shared = 1
	case "stale":
		c.Stale = 1
	default:
		c.Bypass = 1
	}
	if a.Paged {
		c.Paged = 1
	}
	if a.refused() {
		c.Refused = 1
	} else if a.Code >= 500 {
		c.Failed = 1
	}
	noted := a.Attempts > 0 || a.Reason != "" || a.Cache == "shared" // a hit waits for nothing, and would push the others out
	j.mu.Lock()
	defer j.mu.Unlock()
	counts(j.tools, tool, now).add(c)
	counts(j.routes, route, now).add(c)
	if !noted {
		return
	}
	call := Call{
		ID: a.ID, TraceID: a.TraceID, Tool: tool, Method: short(a.Method), Route: short(a.Route), Quota: a.Quota, Status: a.Code, Cache: a.Cache,
		Reason: a.Reason, Attempts: a.Attempts, Arrived: now.Add(-a.Duration),
		Queue: a.Queue.Seconds(), Upstream: a.Upstream.Seconds(), Total: a.Duration.Seconds(),
	}
	j.calls.add(call)
	if c.Refused > 0 {
		j.refusals.add(call)
	}
}

// short bounds what a caller can put into memory, and lets go of the request that it is a part of.
func short(s string) string { return strings.Clone(s[:min(len(s), maxName)]) }

// waited takes note of the end of a wait in the line.
func (j *journal) waited(quota, tool, outcome string, d time.Duration, now time.Time) {
	if outcome != "sent" {
		return
	}
	c := Counts{Sent: 1, Waited: d, Longest: d}
	j.mu.Lock()
	defer j.mu.Unlock()
	counts(j.tools, tool, now).add(c)
	q := j.quotas[quota]
	q.recent.at(now).add(c)
	q.turns.add(turn{tool, now})
	q.sent++
}

func (j *journal) throttled(quota string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.quotas[quota].throttled++
	j.quotas[quota].total++
}

// pause takes note of a pause's begin, or of its end. One that is made longer is the same pause.
func (j *journal) pause(quota string, begins bool, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := j.quotas[quota].pauses.newest()
	lasts := last != nil && last.ended.IsZero()
	switch {
	case begins && !lasts:
		j.quotas[quota].pauses.add(span{began: now})
	case !begins && lasts:
		last.ended = now
	}
}
