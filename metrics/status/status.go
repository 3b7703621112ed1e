// Package status serves the status page with its API, and the health pages. It shows the values of package metrics, and the events of the
// last minutes that Recent keeps: calls, refusals, pauses, and a history of each quota.
package status

import (
	"time"

	"roamproxy/metrics"
)

// Status is everything that the status page shows, and the body of /api/status. Times are in seconds. Counts are of the last ten minutes
// unless their comment says otherwise.
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
	Webhooks    *WebhookStatus        `json:"webhooks,omitempty"` // nil: there is no listener for webhooks
	Refusals    []Refusals            `json:"refusals"`           // of the last ten minutes, the latest first
	Reloaded    bool                  `json:"reloaded"`           // the last reload succeeded
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
	HeldFor    float64  `json:"paused_by_hand_for_seconds"` // 0: it is not paused by hand
	PauseTotal float64  `json:"pause_seconds_total"`        // since the start
	LastPause  float64  `json:"last_pause_seconds"`         // length of the current pause so far, or of the last one
	Throttled  int      `json:"throttled_total"`            // Roam's 429 since the start
	Waiting    int      `json:"waiting"`
	Oldest     float64  `json:"oldest_seconds"`
	Capacity   int      `json:"capacity"`
	InFlight   int      `json:"in_flight"`
	MaxFlight  int      `json:"max_in_flight"`
	Open       int      `json:"open"` // open responses
	MaxOpen    int      `json:"max_open"`
	Shared     bool     `json:"shared"`   // with other replicas
	Replicas   int      `json:"replicas"` // live replicas, this one included; 0 while Redis is unreachable
	Sent       int      `json:"sent"`
	Queue      []Share  `json:"queue"` // queued calls by tool, the most first
	Holders    []Holder `json:"holders"`
	History    []Sample `json:"history,omitempty"` // the oldest first
}

// Holder is a tool with calls in progress.
type Holder struct {
	Tool   string `json:"tool"`
	Queued int    `json:"queued"`
	Slots  int    `json:"in_flight"` // calls in progress at Roam
	Open   int    `json:"open"`      // open responses
}

// Sample is one second of a quota's history.
type Sample struct {
	At        int64   `json:"t"` // seconds since 1970
	Sent      int     `json:"sent"`
	Throttled int     `json:"throttled"` // by Roam
	Refused   int     `json:"refused"`   // by roamproxy
	Waiting   int     `json:"waiting"`
	Tokens    float64 `json:"tokens"`
	Paused    bool    `json:"paused"` // because Roam answered 429
	Held      bool    `json:"paused_by_hand"`
}

// maxSamples is the number of seconds in ten minutes.
const maxSamples = 600

// ToolStatus is the activity of one tool.
type ToolStatus struct {
	Name    string  `json:"name"`
	Waiting int     `json:"waiting"` // now
	Share   float64 `json:"share"`   // of all calls that were sent, 0 to 1
	Saved   int     `json:"saved"`   // calls that Roam did not have to answer
	Mean    float64 `json:"mean_wait_seconds"`
	Longest float64 `json:"longest_wait_seconds"`
	Today   int     `json:"calls_today"`             // to Roam, since midnight UTC
	PerDay  int     `json:"calls_per_day,omitempty"` // its limit; 0: none
	Counts
}

// CacheStatus is the state of the cache.
type CacheStatus struct {
	Bytes   int64         `json:"bytes"`
	Entries int           `json:"entries"`
	Saved   int           `json:"saved"`
	Paged   int           `json:"paged"` // of those, by wide pages
	Routes  []RouteStatus `json:"routes"`
}

// RouteStatus is the activity of one route.
type RouteStatus struct {
	Route string `json:"route"`
	Saved int    `json:"saved"`
	Counts
}

// WebhookStatus counts Roam's webhooks since the start.
type WebhookStatus struct {
	Last     *time.Time `json:"last,omitempty"` // the latest genuine one
	Accepted int        `json:"accepted"`
	Failed   int        `json:"failed"`  // a receiver did not accept them
	Refused  int        `json:"refused"` // not genuine
}

// webhookStatus returns nil where there is no listener for webhooks.
func webhookStatus(now metrics.WebhookState) *WebhookStatus {
	if !now.On {
		return nil
	}
	s := &WebhookStatus{Accepted: now.Accepted, Failed: now.Failed, Refused: now.Refused}
	if !now.Last.IsZero() {
		s.Last = &now.Last
	}
	return s
}

// CredentialStatus is the state of a credential.
type CredentialStatus struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}
