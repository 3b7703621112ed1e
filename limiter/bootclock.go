package limiter

import "time"

// boot names this run of the machine; "" where that cannot be known. uptime is how long it has run at began.
var (
	boot, uptime = machine()
	began        = time.Now()
)

// up is how long the machine has run at now. Nobody sets that clock, unlike the wall's, and it stands still while the machine
// sleeps: between two moments of one run it never tells more than has passed.
func up(now time.Time) time.Duration { return uptime + now.Sub(began) }

// passed is how long before now k was true, as far as can be known, and rather less than more: what is refilled too much is a 429.
func (k Kept) passed(now time.Time) time.Duration {
	passed := now.Round(0).Sub(k.At)
	if boot != "" && k.Boot == boot {
		passed = min(passed, max(up(now)-k.Up, 0))
	}
	return passed
}
