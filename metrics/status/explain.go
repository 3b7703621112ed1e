package status

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"roamproxy/metrics"
)

// Explanation says how a call ended, and how long it waited for what.
type Explanation struct {
	Call
	Before []Share  `json:"before"` // calls that were sent while it was queued
	Paused float64  `json:"paused_seconds"`
	Held   float64  `json:"paused_by_hand_seconds"`
	Full   float64  `json:"full_seconds"` // when there were tokens, but every slot was in use
	Slots  []Share  `json:"slots"`        // the tools that used the slots
	Text   []string `json:"text"`
}

// Share is a number of calls of one tool.
type Share struct {
	Tool string `json:"tool"`
	N    int    `json:"n"`
}

// Explain returns an Explanation of the latest call with this request id. It reports false if no recent call has the id.
func (m *Monitor) Explain(id string) (Explanation, bool) {
	e, ok := m.recent.explain(id)
	if ok {
		e.addText(m.metrics.Reason(e.Reason).Text)
	}
	return e, ok
}

// explain is Explain without Text.
func (r *Recent) explain(id string) (Explanation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.calls.backward() {
		if c.ID == id {
			e := Explanation{Call: *c, Before: []Share{}, Slots: []Share{}}
			if q := r.quotas[c.Quota]; q != nil {
				e.addEvents(q)
			}
			return e, true
		}
	}
	return Explanation{}, false
}

// addEvents adds the events of the quota while the call was queued.
func (e *Explanation) addEvents(q *quotaEvents) {
	from, to := e.queued(q)
	sent := make(map[string]int)
	for p := range q.permits.backward() {
		if p.at.After(from) && p.at.Before(to) {
			sent[p.tool]++
		}
	}
	if e.Attempts > 1 { // each of which had a permit
		sent[e.Tool] -= e.Attempts
	}
	for tool, n := range sent {
		if n > 0 {
			e.Before = append(e.Before, Share{tool, n})
		}
	}
	slices.SortFunc(e.Before, func(a, b Share) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Tool, b.Tool)) })
	for f := range q.full.backward() {
		if f.at.Before(from) {
			break
		}
		if !f.at.After(to) {
			if e.Full == 0 {
				e.Slots = f.slots
			}
			e.Full++ // one sample is one second
		}
	}
	for s := range q.history.backward() { // one a second
		at := time.Unix(s.At, 0)
		if at.Before(from.Add(-time.Second)) {
			break
		}
		if s.Held && !at.After(to) {
			e.Held++
		}
	}
	for p := range q.pauses.backward() {
		began, ended := p.began, p.until(to)
		if began.Before(from) {
			began = from
		}
		if ended.After(to) {
			ended = to
		}
		e.Paused += max(ended.Sub(began), 0).Seconds()
	}
}

// queued returns when the call entered and left the queue. A call with one attempt has a permit with the exact times. For any other call it
// is estimated: from the arrival to the answer, without the time that Roam took.
func (e *Explanation) queued(q *quotaEvents) (from, to time.Time) {
	answered := e.Arrived.Add(seconds(e.Total))
	if e.Attempts != 1 {
		return e.Arrived, answered.Add(-seconds(e.Upstream))
	}
	for p := range q.permits.backward() {
		if p.at.Before(e.Arrived) {
			break
		}
		if p.tool == e.Tool && p.waited == seconds(e.Queue) && !p.at.After(answered) {
			return p.at.Add(-p.waited), p.at
		}
	}
	return e.Arrived, e.Arrived.Add(seconds(e.Queue))
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// shortWait is a wait that needs no explanation, in seconds.
const shortWait = 0.05

// addText adds the explanation in sentences.
func (e *Explanation) addText(reason string) {
	say := func(format string, args ...any) { e.Text = append(e.Text, fmt.Sprintf(format, args...)) }
	switch {
	case e.Reason != "" && e.Attempts == 0:
		say("It was not sent: roamproxy answered %d, %s.", e.Status, reason)
		if e.Queue > shortWait {
			say("Until then it was in the queue for %.1f s.", e.Queue)
		}
	case e.Cache == metrics.Shared:
		say("Another call for the same was in progress already. It got that answer after %.1f s, and spent nothing of the quota.", e.Total)
	case e.Queue <= shortWait:
		say("It did not wait: there was a token.")
	default:
		say("It was in the queue of quota %s for %.1f s.", e.Quota, e.Queue)
	}
	if e.Queue > shortWait {
		e.addReasons(say)
	}
	if e.Attempts > 1 {
		say("It was sent %d times: Roam refused it with 429, or the connection broke before an answer began.", e.Attempts)
	}
	if e.Attempts > 0 {
		say("Roam took %.2f s to answer.", e.Upstream)
	}
	if e.Reason != "" && e.Attempts > 0 {
		say("It ended with %d, %s.", e.Status, reason)
	}
}

// addReasons adds why the call was queued for so long.
func (e *Explanation) addReasons(say func(format string, args ...any)) {
	if e.Paused > shortWait {
		say("For %.1f s of that the queue was paused, because Roam had answered 429.", e.Paused)
	}
	if e.Held > 0 {
		say("For about %.0f s of that the queue was paused by hand.", e.Held)
	}
	if e.Full > 0 {
		say("For about %.0f s of that there were tokens, and every slot was in use (max_in_flight): %s.", e.Full, e.list(e.Slots))
	}
	switch {
	case len(e.Before) > 0:
		say("Calls that were sent meanwhile: %s.", e.list(e.Before))
	case e.Paused <= shortWait && e.Full == 0 && e.Held == 0:
		say("No other call of this replica was sent meanwhile: it waited for the next token, or for a slot (max_in_flight).")
	}
}

// list returns the numbers of calls with their tools, as a text.
func (e *Explanation) list(shares []Share) string {
	var parts []string
	for _, s := range shares {
		own := ""
		if s.Tool == e.Tool {
			own = " (its own tool)"
		}
		parts = append(parts, fmt.Sprintf("%d of %s%s", s.N, s.Tool, own))
	}
	return strings.Join(parts, ", ")
}
