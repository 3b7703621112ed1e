package budget

import (
	"maps"
	"time"
)

// SharedCounts counts the calls of a day for all replicas.
type SharedCounts interface {
	// Spend counts one more call of a tool, unless that is more than limit. unreported are calls that this replica counted alone,
	// and known is the count that it knew last without them. The error says that nothing was counted.
	Spend(day, tool string, limit, unreported, known int) (used int, ok bool, err error)
}

// Share has the calls counted by all replicas together from now on, and tells them what was counted alone; nil: this process is
// alone.
func (c *Counts) Share(s SharedCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared == nil && s != nil {
		maps.Copy(c.unreported, c.used)
	}
	c.shared = s
}

// spendShared counts a call for all replicas. While they cannot be reached it counts here, and reports later: each replica then
// knows the common count of when it could last ask.
func (c *Counts) spendShared(shared SharedCounts, tool string, limit int) error {
	c.mu.Lock()
	day, unreported := c.day, c.unreported[tool]
	known := c.used[tool] - unreported
	delete(c.unreported, tool)
	c.mu.Unlock()

	used, ok, err := shared.Spend(day, tool, limit, unreported, known)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.day != day: // it is past midnight, and the first call of the day
		if c.used[tool]++; err != nil {
			c.unreported[tool]++
		}
	case err != nil:
		c.used[tool]++
		c.unreported[tool] += unreported + 1
	default:
		c.used[tool] = max(used, known) + c.unreported[tool]
		if !ok {
			return &UsedUpError{RetryAfter: untilMidnight(time.Now())}
		}
	}
	return nil
}
