package metrics

import (
	"slices"
	"strings"
)

// The types below have the words of packages cache, limiter, proxy and webhook, which metrics does not import. A test of package server
// compares them with the originals.

// CacheResult is what the cache did for a request, a cache.Result.
type CacheResult string

// The results of the cache.
const (
	Hit    CacheResult = "hit"
	Miss   CacheResult = "miss"
	Shared CacheResult = "shared"
	Stale  CacheResult = "stale"
	Bypass CacheResult = "bypass"
)

// CacheResults returns every CacheResult.
func CacheResults() []CacheResult { return []CacheResult{Hit, Miss, Shared, Stale, Bypass} }

// savedByPage is the label of a call that a wide page saved, besides Hit, Shared and Stale.
const savedByPage = "page"

// Outcome is how a wait in the queue ended, a limiter.Outcome.
type Outcome string

// The outcomes of a wait.
const (
	Sent     Outcome = "sent"
	Refused  Outcome = "refused"
	Canceled Outcome = "canceled"
	Expired  Outcome = "expired"
)

// Outcomes returns every Outcome.
func Outcomes() []Outcome { return []Outcome{Sent, Refused, Canceled, Expired} }

// RepeatKind says why a repeated write was not sent to Roam again, a proxy.RepeatKind.
type RepeatKind string

// The kinds of a repeat.
const (
	RepeatUnknown  RepeatKind = "unknown"  // the outcome of the first is unknown: it was answered 502 or 504
	RepeatReplayed RepeatKind = "replayed" // it was answered with the first answer, by its Idempotency-Key
)

// RepeatKinds returns every RepeatKind.
func RepeatKinds() []RepeatKind { return []RepeatKind{RepeatUnknown, RepeatReplayed} }

// WebhookResult is what became of a delivery, a webhook.Result.
type WebhookResult string

// The results of a delivery.
const (
	WebhookAccepted   WebhookResult = "accepted"
	WebhookFailed     WebhookResult = "failed"
	WebhookRepeated   WebhookResult = "repeated"
	WebhookChallenged WebhookResult = "challenged"
	WebhookForged     WebhookResult = "forged"
	WebhookOutdated   WebhookResult = "outdated"
	WebhookMalformed  WebhookResult = "malformed"
	WebhookNotFound   WebhookResult = "not_found"
)

// WebhookResults returns every WebhookResult.
func WebhookResults() []WebhookResult {
	return []WebhookResult{WebhookAccepted, WebhookFailed, WebhookRepeated, WebhookChallenged, WebhookForged, WebhookOutdated,
		WebhookMalformed, WebhookNotFound}
}

// oneOf lists words for a help text, as in "hit, miss or bypass".
func oneOf[T ~string](words []T) string {
	var text strings.Builder
	for i, word := range words {
		switch i {
		case 0:
		case len(words) - 1:
			text.WriteString(" or ")
		default:
			text.WriteString(", ")
		}
		text.WriteString(string(word))
	}
	return text.String()
}

// labelOf returns a word as a label: itself if it is one of known, else other.
func labelOf[T ~string](word T, known []T) string {
	if slices.Contains(known, word) {
		return string(word)
	}
	return other
}

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
