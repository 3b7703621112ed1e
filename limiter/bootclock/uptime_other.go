//go:build !linux

package bootclock

import "time"

// bootID returns none: the wall clock is believed.
func bootID() string { return "" }

// uptime returns none: time is Go's.
func uptime() (total, asleep time.Duration) { return 0, 0 }
