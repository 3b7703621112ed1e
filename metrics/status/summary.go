package status

import (
	"fmt"
	"time"

	"roamproxy/metrics"
)

// The levels of a Summary.
const (
	Good = "good" // nothing to do
	Warn = "warn" // somebody should look
	Bad  = "bad"  // somebody must mend something
)

// Summary says in one sentence how it is, and in another what to do. It has no figures, so that it changes only when something
// does: a screen reader tells each change.
type Summary struct {
	Level string `json:"level"`
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"`
}

// long is a wait that somebody at a screen notices.
const long = 10 // seconds

// summarize returns the worst condition that there is.
func summarize(s Status) Summary {
	for _, c := range s.Checks {
		if c.Name == metrics.Stopping {
			return Summary{Warn, "roamproxy stops: calls under way end, new ones are not wanted.", "Nothing to mend; the next process goes on with the level and the pause."}
		}
		if !c.OK {
			return Summary{Bad, "Calls cannot go through: " + c.Problem + ".", "This does not mend itself. Readiness names every check."}
		}
	}
	for _, q := range s.Quotas {
		if q.Paused {
			return Summary{Warn, fmt.Sprintf("Roam answered 429 on quota %s: nothing is sent until its pause is over.", q.Name),
				"It ends by itself. If it comes back, somebody else spends this quota: look who else holds the key."}
		}
	}
	if !s.Reloaded {
		return Summary{Warn, "The last reload failed; the configuration of before is in force.", "roamproxy check names every mistake; the log names also what needs a restart."}
	}
	for _, q := range s.Quotas {
		if q.Shared && q.Replicas == 0 {
			return Summary{Warn, fmt.Sprintf("Redis is away: this replica goes on with its share of quota %s.", q.Name), "Mend Redis; the replicas rejoin by themselves. Readiness says why it is not reached."}
		}
	}
	for _, q := range s.Quotas {
		if q.Oldest >= long && len(q.Queue) > 0 {
			return Summary{Warn, fmt.Sprintf("Calls wait long on quota %s. Most of its line is %s's.", q.Name, q.Queue[0].Tool),
				"Ask it to call less (wide pages, a longer ttl for what it reads), or give the others a larger weight."}
		}
	}
	for _, c := range s.Refusals {
		if s.Now.Sub(c.Arrived) < time.Minute {
			return Summary{Warn, fmt.Sprintf("Calls of %s are refused: %s.", c.Tool, reasonText(c.Reason)), "The last refusals are listed below; none of them was sent."}
		}
	}
	for _, q := range s.Quotas {
		if q.Waiting > 0 {
			return Summary{Good, "Calls wait for their turn, none of them long.", ""}
		}
	}
	return Summary{Good, "All is well: nobody waits.", ""}
}
