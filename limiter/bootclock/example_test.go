package bootclock_test

import (
	"fmt"
	"time"

	"roamproxy/limiter/bootclock"
)

// Roam asks for a minute without calls, and the machine may be suspended meanwhile: the pause ends with the minute all the same.
func Example() {
	until := bootclock.Now().Add(time.Minute)
	if bootclock.Now().Before(until) {
		fmt.Println("paused")
	}
	// Output: paused
}
