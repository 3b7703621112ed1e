// Package bootclock is a clock that runs while the machine is suspended. Go's own stands still then, so that a pause would outlast the
// night. On other systems than Linux the two are the same.
package bootclock

import (
	"sync/atomic"
	"time"
)

// boot names this run of the machine; "" where that is unknown. start and asleep are the machine's uptime, and how long of it
// the machine was suspended, at began.
var (
	boot          = bootID()
	start, asleep = uptime()
	began         = time.Now()

	latestReading atomic.Pointer[reading] // nil: none yet
)

// reading is how long the machine was suspended since the process began, as read at a time.
type reading struct {
	at        time.Time
	suspended time.Duration
}

// readingAge is how long a reading counts. A call asks some ten times, within a few of its microseconds, and each reading takes three
// system calls: together a twentieth of a call's CPU. After a suspension Now is behind for as long, which no token and no pause notices.
const readingAge = time.Millisecond

// Now returns the time. The difference of two such times is what has passed; as a date it may be ahead. It may be called by many
// goroutines.
func Now() time.Time { return time.Now().Add(suspended()) }

// Boot names this run of the machine, and is the same in all its containers. It is "" where that is unknown.
func Boot() string { return boot }

// Uptime returns how long the machine has run at now, a time of Go's clock, suspended or not. Unlike the wall clock it cannot be set.
func Uptime(now time.Time) time.Duration { return start + now.Sub(began) + suspended() }

// suspended returns how long the machine was suspended since the process began. The two clocks are read one after the other, and
// what is less than a tenth of a second is taken for that.
func suspended() time.Duration {
	now := time.Now()
	if r := latestReading.Load(); r != nil && now.Sub(r.at).Abs() < readingAge {
		return r.suspended
	}
	_, total := uptime()
	r := &reading{now, max(total-asleep, 0).Truncate(100 * time.Millisecond)}
	latestReading.Store(r)
	return r.suspended
}
