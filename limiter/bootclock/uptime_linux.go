package bootclock

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootID asks Linux; containers of one machine get the same answer (proc_sys_kernel(5)).
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// uptime returns how long the machine has run, and how long of that it was suspended: CLOCK_BOOTTIME runs then, and
// CLOCK_MONOTONIC does not (clock_gettime(2)). A reading that was interrupted is repeated.
func uptime() (total, asleep time.Duration) {
	for range 3 {
		before, boot, after := read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME), read(unix.CLOCK_MONOTONIC)
		total, asleep = boot, boot-after
		if after-before < time.Millisecond {
			break
		}
	}
	return total, max(asleep, 0)
}

func read(clock int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
