package limiter

import "time"

// boot names this run of the machine; "" where the system does not tell. start and asleep are the machine's uptime, and how long of it
// the machine was suspended, at began.
var (
	boot          = bootID()
	start, asleep = uptime()
	began         = time.Now()
)

// Now returns the time by a clock that runs while the machine is suspended. Go's own stands still then, so a pause would outlast
// the night. The difference of two such times is what has passed; as a date it may be ahead.
func Now() time.Time { return time.Now().Add(suspended()) }

// suspended returns how long the machine was suspended since the process began. The two clocks are read one after the other, and
// what is less than a tenth of a second is taken for that.
func suspended() time.Duration {
	_, total := uptime()
	return max(total-asleep, 0).Truncate(100 * time.Millisecond)
}

// up returns how long the machine has run at now, suspended or not. Unlike the wall clock it cannot be set.
func up(now time.Time) time.Duration { return start + now.Sub(began) + suspended() }

// passed returns how long before now k was true. In doubt it returns less, since a bucket that is refilled too much causes a 429.
func (k Kept) passed(now time.Time) time.Duration {
	passed := now.Round(0).Sub(k.At)
	if boot != "" && k.Boot == boot {
		passed = min(passed, max(up(now)-k.Up, 0))
	}
	return passed
}
