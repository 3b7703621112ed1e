package proxy

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"roamproxy/cache"
)

// mark adds what every answer tells. The request's id is that of this visit: one of Roam's would be of another visit where
// the answer was kept.
func (p *Proxy) mark(h http.Header, v *visit, cacheStatus string) {
	if v.Attempts > 0 && v.Cache != cache.Stale {
		v.RoamID = h.Get(idHeader)
	}
	delete(h, idHeader)
	v.tell(h, idHeader, v.ID)
	v.tell(h, "Cache-Status", cacheStatus)
	timing := "queue;dur=0, upstream;dur=0" // of every hit
	if v.Queue|v.Upstream != 0 {
		timing = "queue;dur=" + strconv.FormatInt(v.Queue.Milliseconds(), 10) + ", upstream;dur=" + strconv.FormatInt(v.Upstream.Milliseconds(), 10)
	}
	v.tell(h, "Server-Timing", timing)
	policy, limit := v.lane.told.fields()
	v.tell(h, "Ratelimit-Policy", policy)
	v.tell(h, "Ratelimit", limit)
}

// forwarded is the Cache-Status (RFC 9211) of an answer that the cache did not give: why it could not.
func (v *visit) forwarded() string {
	switch {
	case v.Method != http.MethodGet && v.Method != http.MethodHead:
		return "roamproxy; fwd=method"
	case v.rule.Keeps():
		return "roamproxy; fwd=uri-miss"
	}
	return "roamproxy; fwd=bypass"
}

// tell adds a field to those of the answer. Room for the few that every answer has is in the visit.
func (v *visit) tell(h http.Header, name, value string) {
	if len(h[name]) > 0 || v.said == len(v.fields) {
		h[name] = append(h[name], value)
		return
	}
	v.fields[v.said] = value
	h[name] = v.fields[v.said : v.said+1 : v.said+1]
	v.said++
}

// told is the quota in header fields (IETF draft-ietf-httpapi-ratelimit-headers). A tenth of a second is short enough for a
// figure in whole calls, and long enough that a stream of hits does not ask the line each time.
type told struct {
	quota Quota

	mu            sync.Mutex // guards the following
	policy, limit string
	at            time.Time
}

const toldAge = 100 * time.Millisecond

func (t *told) fields() (policy, limit string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.at.IsZero() || now.Sub(t.at) >= toldAge {
		t.at = now
		state := t.quota.Queue.State()
		next := math.Ceil(1 / t.quota.Rate)
		if state.Paused {
			next = max(math.Ceil(state.PausedFor.Seconds()), 1)
		}
		remaining := math.Floor(state.Tokens)
		if state.Paused || len(state.Waiting) > 0 {
			remaining = 0 // whoever comes now waits
		}
		t.policy = fmt.Sprintf(`"%s";q=%.0f;w=%.0f`, t.quota.Name, t.quota.Burst, math.Ceil(t.quota.Burst/t.quota.Rate))
		t.limit = fmt.Sprintf(`"%s";r=%.0f;t=%.0f`, t.quota.Name, remaining, next)
	}
	return t.policy, t.limit
}
