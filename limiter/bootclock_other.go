//go:build !linux

package limiter

import "time"

// bootID knows nothing: the wall clock is believed.
func bootID() string { return "" }

// uptime knows nothing: time is Go's.
func uptime() (total, asleep time.Duration) { return 0, 0 }
