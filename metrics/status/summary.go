package status

import (
	"fmt"
	"time"

	"roamproxy/metrics"
)

// The levels of a Summary.
const (
	Good = "good" // nothing to do
	Warn = "warn" // an operator should look
	Bad  = "bad"  // an operator must fix something
)

// Summary describes the state in one sentence, and says in another what to do. It has no figures: a screen reader reads each change aloud,
// so the text changes only with the state.
type Summary struct {
	Level string `json:"level"`
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"`
}

// slowWait is a wait that violates the agreed service level, in seconds.
const slowWait = 10

// summarize returns the Summary of the worst condition.
func summarize(s Status, reason func(code string) metrics.Reason) Summary {
	for _, c := range s.Checks {
		if c.Name == metrics.Stopping {
			return Summary{Warn, "roamproxy is stopping: calls in progress end, new ones are refused.",
				"Nothing to do; the next process continues with the level and the pause."}
		}
		if !c.OK {
			return Summary{Bad, "Calls cannot succeed: " + c.Problem + ".", "This does not end by itself. Readiness names every check."}
		}
	}
	for _, q := range s.Quotas {
		if q.HeldFor > 0 {
			return Summary{Warn, fmt.Sprintf("Quota %s is paused by hand: nothing is sent until that ends.", q.Name),
				"It ends by itself, or with roamproxy resume."}
		}
	}
	for _, q := range s.Quotas {
		if q.Paused {
			return Summary{Warn, fmt.Sprintf("Roam answered 429 on quota %s: nothing is sent until its pause is over.", q.Name),
				"It ends by itself, or with roamproxy resume. If pauses repeat, another client spends this quota: find out who else has the key."}
		}
	}
	if !s.Reloaded {
		return Summary{Warn, "The last reload failed; the previous configuration is in force.",
			"roamproxy check names every mistake; the log also names what needs a restart."}
	}
	for _, q := range s.Quotas {
		if q.Shared && q.Replicas == 0 {
			return Summary{Warn, fmt.Sprintf("Redis is unreachable: this replica continues with its part of quota %s.", q.Name),
				"Repair Redis; the replicas rejoin by themselves. Readiness says why it is not reached."}
		}
	}
	for _, q := range s.Quotas {
		if q.Oldest >= slowWait && len(q.Queue) > 0 {
			return longWait(q)
		}
	}
	for _, r := range s.Refusals {
		why := reason(r.Reason)
		if s.Now.Sub(r.Latest) < time.Minute && !why.Own { // a refusal by a tool's own limit is intended
			return Summary{Warn, fmt.Sprintf("Calls of %s are refused: %s.", r.Tool, why.Text),
				"Refusals are listed below; none of them was sent."}
		}
	}
	for _, q := range s.Quotas {
		if q.Waiting > 0 {
			return Summary{Good, "Calls are queued, none of them for long.", ""}
		}
	}
	return Summary{Good, "All is well: no call waits.", ""}
}

// longWait returns why calls wait long. It names a tool only if that has most of the queue: then its calls wait for each other. The queue
// is fair, so they do not delay the calls of other tools.
func longWait(q QuotaStatus) Summary {
	top := q.Queue[0]
	switch {
	case q.MaxFlight > 0 && q.InFlight >= q.MaxFlight && q.Tokens >= 1:
		return Summary{Warn, fmt.Sprintf("Calls wait long on quota %s, because Roam still works on as many as it may at once.", q.Name),
			"Roam answers slowly. The table shows whose calls Roam works on; the upstream timeout ends them."}
	case 2*top.N > q.Waiting && top.N > 1:
		return Summary{Warn, fmt.Sprintf("Calls wait long on quota %s. Most of the queued calls are from %s.", q.Name, top.Tool),
			"The queue is fair: calls of other tools are sent first. Ask " + top.Tool + " to call less (wide pages, a longer ttl), " +
				"or to wait less long."}
	}
	return Summary{Warn, fmt.Sprintf("Calls wait long on quota %s. Its tools ask for more than it has.", q.Name),
		"No tool has most of the queue. Cache longer, use wide pages, or give the urgent tool a larger weight."}
}
