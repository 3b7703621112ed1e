package metrics

import "strings"

// The results of the cache and the outcomes of a wait in the queue, in the words of packages cache and limiter. metrics does not import
// them; a test of package server compares the words.
const (
	Hit    = "hit"
	Miss   = "miss"
	Shared = "shared"
	Stale  = "stale"
	Bypass = "bypass"

	Sent     = "sent"
	Refused  = "refused"
	Canceled = "canceled"
	Expired  = "expired"
)

// savedByPage is the label of a call that a wide page saved, besides Hit, Shared and Stale.
const savedByPage = "page"

// Results returns every result of the cache.
func Results() []string { return []string{Hit, Miss, Shared, Stale, Bypass} }

// Outcomes returns every outcome of a wait in the queue.
func Outcomes() []string { return []string{Sent, Refused, Canceled, Expired} }

// Reason is the meaning of a code of roamproxy's own answers.
type Reason struct {
	Code    string
	Text    string // completes the sentence "roamproxy answered 429, …"
	Refusal bool   // roamproxy refused, rather than Roam, the network or the tool itself
	Limit   bool   // the reason is a limit; its series exist from the start
	Own     bool   // the limit is of this tool alone, as configured
}

// Reason returns what a code means. An unknown one is a refusal.
func (m *Metrics) Reason(code string) Reason {
	if r, ok := m.reasons[code]; ok {
		return r
	}
	return Reason{Code: other, Text: strings.ReplaceAll(code, "_", " "), Refusal: true}
}

// refusal reports whether roamproxy refused, and the label of the reason.
func (m *Metrics) refusal(code string) (label string, refused bool) {
	if code == "" {
		return "", false
	}
	r := m.Reason(code)
	return r.Code, r.Refusal
}
