package budget

import (
	"maps"
	"time"
)

// SharedCounts counts the calls of a day for all replicas.
type SharedCounts interface {
	// Spend counts one more call of a tool, unless the tool has made limit calls. It returns the common count. unreported is the number
	// of calls that this replica counted alone, and known the last common count that it knows. After an error nothing was counted.
	Spend(day, tool string, limit, unreported, known int) (used int, ok bool, err error)
}

// Share makes all replicas count together from now on, and reports the calls that were counted so far. nil: this process counts alone.
func (c *Counts) Share(s SharedCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared == nil && s != nil {
		maps.Copy(c.unreported, c.used)
	}
	c.shared = s
}

// spendShared counts a call for all replicas. While the shared store is unreachable, it counts in this process and reports later. Each
// replica then limits by the last common count that it knows.
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
	case c.day != day: // midnight passed meanwhile: the call belongs to the new day
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
