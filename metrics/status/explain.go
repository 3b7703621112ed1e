package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explanation says what became of a call and where its time went.
type Explanation struct {
	Call
	Before []Share  `json:"before"` // who got turns while it was in the line
	Paused float64  `json:"paused_seconds"`
	Text   []string `json:"text"`
}

// Share is a tool's part of something.
type Share struct {
	Tool string `json:"tool"`
	N    int    `json:"n"`
}

// Explain finds the last call with this request id among the recent ones.
func (r *Recent) Explain(id string) (Explanation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.calls.backward() {
		if c.ID == id {
			e := Explanation{Call: *c, Before: []Share{}}
			if q := r.quotas[c.Quota]; q != nil {
				e.addEvents(q)
			}
			e.addText()
			return e, true
		}
	}
	return Explanation{}, false
}

// addEvents finds what happened in the queue while the call was in it.
func (e *Explanation) addEvents(q *quotaEvents) {
	from := e.Arrived
	to := from.Add(time.Duration((e.Total - e.Upstream) * float64(time.Second))) // with the pauses between its attempts
	if e.Attempts == 1 {
		to = from.Add(time.Duration(e.Queue * float64(time.Second)))
	}
	turns := make(map[string]int)
	for t := range q.permits.backward() {
		if t.at.After(from) && t.at.Before(to) {
			turns[t.tool]++
		}
	}
	for tool, n := range turns {
		e.Before = append(e.Before, Share{tool, n})
	}
	slices.SortFunc(e.Before, func(a, b Share) int {
		if a.N != b.N {
			return b.N - a.N
		}
		return strings.Compare(a.Tool, b.Tool)
	})
	for p := range q.pauses.backward() {
		ended := p.until(to)
		if ended.After(to) {
			ended = to
		}
		began := p.began
		if began.Before(from) {
			began = from
		}
		e.Paused += max(ended.Sub(began), 0).Seconds()
	}
}

// brief is a wait that nobody asks about.
const brief = 0.05

func (e *Explanation) addText() {
	say := func(format string, args ...any) { e.Text = append(e.Text, fmt.Sprintf(format, args...)) }
	switch {
	case e.Reason != "" && e.Attempts == 0:
		say("It was not sent: roamproxy answered %d, %s.", e.Status, reasonText(e.Reason))
		if e.Queue > brief {
			say("Until then it was in the line for %.1f s.", e.Queue)
		}
	case e.Cache == "shared":
		say("It asked what another call was asking already, and got that one's answer after %.1f s; it spent nothing of the quota.", e.Total)
	case e.Queue <= brief:
		say("It did not wait: there was a token.")
	default:
		say("It was in the line of quota %s for %.1f s.", e.Quota, e.Queue)
	}
	if e.Paused > brief {
		say("For %.1f s of that the line stood still, because Roam had answered 429.", e.Paused)
	}
	if n := e.before(); n > 0 && e.Queue > brief {
		var parts []string
		for _, b := range e.Before {
			parts = append(parts, fmt.Sprintf("%d of %s", b.N, b.Tool))
		}
		say("Turns that went before it: %d, of them %s.", n, strings.Join(parts, ", "))
	} else if e.Queue > brief && e.Paused <= brief {
		say("Nobody went before it: it waited for the next token, or for a slot of max_in_flight.")
	}
	if e.Attempts > 1 {
		say("It was sent %d times: Roam refused it with 429, or the connection died before an answer began.", e.Attempts)
	}
	if e.Attempts > 0 {
		say("Roam took %.2f s to answer.", e.Upstream)
	}
	if e.Reason != "" && e.Attempts > 0 {
		say("It ended with %d, %s.", e.Status, reasonText(e.Reason))
	}
}

func (e *Explanation) before() (n int) {
	for _, b := range e.Before {
		n += b.N
	}
	return n
}

// reasonText is a reason in words.
func reasonText(reason string) string {
	switch reason {
	case "queue_full":
		return "the line is full (max_queue)"
	case "wait_too_long":
		return "its turn would have come after its longest wait"
	case "paused":
		return "Roam's pause outlasts its longest wait"
	case "budget":
		return "its tool has spent its budget"
	case "unauthorized":
		return "the tool's token is missing or wrong"
	case "not_allowed":
		return "the tool may not use this method and path"
	case "browser":
		return "a web page asked, and browsers does not name its origin"
	case "host":
		return "it was sent to a name that is not roamproxy's"
	case "credential":
		return "there is no usable credential"
	case "upstream_timeout":
		return "Roam did not answer in time"
	case "upstream_unreachable":
		return "Roam could not be reached, or the connection broke"
	case "canceled":
		return "the tool went away"
	case "shutting_down":
		return "roamproxy was stopping"
	case "only_if_cached":
		return "nothing fresh was kept, and the tool wanted nothing else"
	}
	return strings.ReplaceAll(reason, "_", " ")
}
