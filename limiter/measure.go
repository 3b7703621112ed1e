package limiter

import "time"

// meter counts the calls that Roam admits from one refusal, at which it has nothing left, to another. What it counts between them was
// left for us.
type meter struct {
	calls float64   // admitted so far
	start time.Time // where the present measurement begins; zero: nowhere
	first float64   // calls at start
}

// measurement is how many calls Roam admitted in so many seconds. Zero: nothing was measured.
type measurement struct{ calls, seconds float64 }

// begin begins a measurement at a refusal.
func (m *meter) begin(at time.Time) { m.start, m.first = at, m.calls }

// void ends the measurement: tokens were lost, or calls held for a reason that Roam does not know of.
func (m *meter) void() { m.start = time.Time{} }

// refused returns what was measured up to a refusal at now, which begins the next measurement. Where that is too little, the present one
// goes on. rate is the configured one.
func (m *meter) refused(now time.Time, rate float64) (is measurement) {
	if !m.start.IsZero() {
		is = measurement{m.calls - m.first, now.Sub(m.start).Seconds()}
		if is.calls < enough && is.seconds < max(overload.Seconds(), enough/rate) {
			return measurement{}
		}
	}
	m.begin(now)
	return is
}
