//go:build !linux

package limiter

import "time"

// machine knows nothing: the wall clock is believed.
func machine() (boot string, uptime time.Duration) { return "", 0 }
