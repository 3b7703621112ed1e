package limiter

import "time"

// measurement is how many calls Roam let through in so many seconds, between two moments at which it had nothing left.
type measurement struct{ calls, seconds float64 }

// refusal is a moment at which Roam had nothing left.
type refusal struct {
	at     time.Time     // when the refused call was sent
	sent   int           // calls before it
	paused time.Duration // before it, in all
}

// history counts calls from one refusal to another.
type history struct {
	sent   int           // calls, but for the refused
	last   refusal       // the latest; zero: unknown
	start  refusal       // of the overload that last belongs to
	paused time.Duration // all pauses so far, but for the present one
	since  time.Time     // of the present pause; zero: none
}

// refused reports a 429 at now, which began a pause unless other calls of the same moment had been refused before.
func (h *history) refused(now time.Time, first bool) {
	h.sent--
	if h.since.IsZero() {
		h.since = now
	}
	if !first {
		h.last.sent--
	}
}

// resumed reports that the pause is over.
func (h *history) resumed(now time.Time) {
	if !h.since.IsZero() {
		h.paused, h.since = h.paused+now.Sub(h.since), time.Time{}
	}
}

// heard reports a refusal that another replica learned from.
func (h *history) heard(at time.Time) {
	if at.After(h.last.at) {
		h.last = refusal{at, h.sent, h.paused}
		h.start = h.last
	}
}

// forget makes the next refusal the first one: tokens were lost, or calls held, so that nothing can be measured across this moment.
func (h *history) forget() { h.last, h.start = refusal{}, refusal{} }

// measure notes the refusal of a call that was sent at a time, and returns what was measured between it and an earlier one. rate
// is as in between.
func (h *history) measure(at time.Time, configured Limits, rate func(time.Time) float64) measurement {
	from, here := h.last, refusal{at, h.sent, h.paused}
	m := between(from, here, rate)
	if from.at.IsZero() || m.calls >= apart {
		h.start = here
	}
	if h.last = here; !from.at.IsZero() && m.calls >= enough {
		return m
	}
	if m = between(h.start, here, rate); m.seconds < overload(configured).Seconds() {
		return measurement{}
	}
	return m
}

// between returns what Roam let through from one refusal to another. A replica does not know of the others' calls, and takes what
// the bucket gave to all of them while there was no pause: the mean rate since a moment. Without replicas rate is nil.
func between(from, to refusal, rate func(since time.Time) float64) measurement {
	m := measurement{calls: float64(to.sent - from.sent), seconds: to.at.Sub(from.at).Seconds()}
	if rate != nil {
		m.calls = rate(from.at) * (m.seconds - (to.paused - from.paused).Seconds())
	}
	return m
}
