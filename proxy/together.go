package proxy

import (
	"maps"
	"time"

	"roamproxy/limiter"
)

// Counter counts the calls of a day for all replicas, as limiter.Fleet does.
type Counter interface {
	Spend(day, tool string, most, untold, known int) (used int, ok bool, err error)
}

// Share has the calls of a day counted together with other replicas from now on, which are told what was counted alone; nil: alone.
func (b *Budgets) Share(c Counter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shared == nil && c != nil {
		maps.Copy(b.untold, b.used)
	}
	b.shared = c
}

// together counts a call for all replicas, or, while they cannot be told, here, to tell them later. Each knows the common count of
// when it last could be told.
func (b *Budgets) together(shared Counter, tool string, most int) error {
	b.mu.Lock()
	day, untold := b.day, b.untold[tool]
	known := b.used[tool] - untold
	delete(b.untold, tool)
	b.mu.Unlock()

	used, ok, err := shared.Spend(day, tool, most, untold, known)

	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.day != day: // it is past midnight, and the first call of the day
		if b.used[tool]++; err != nil {
			b.untold[tool]++
		}
	case err != nil:
		b.used[tool]++
		b.untold[tool] += untold + 1
	default:
		b.used[tool] = max(used, known) + b.untold[tool]
		if !ok {
			return &limiter.Refusal{Reason: errBudget, RetryAfter: untilMidnight(time.Now())}
		}
	}
	return nil
}
