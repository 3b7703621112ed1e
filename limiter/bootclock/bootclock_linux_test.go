package bootclock_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roamproxy/limiter/bootclock"
)

// The uptime is the kernel's, and so counts the time in which the machine was suspended. A tenth of a second less is rounding.
//
// Seen to fail with the uptime at which the process began.
func TestUptimeIsTheKernels(t *testing.T) {
	kernel := func() time.Duration {
		var at unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
			t.Fatal(err)
		}
		return time.Duration(at.Nano())
	}
	before := kernel() + time.Hour - 100*time.Millisecond
	got := bootclock.Uptime(time.Now().Add(time.Hour))
	if after := kernel() + time.Hour; got < before || got > after {
		t.Errorf("in an hour the machine has run for %v, want from %v to %v", got, before, after)
	}
	if bootclock.Boot() == "" {
		t.Error("this machine does not tell which of its runs this is")
	}
}

// One reading follows the other, also where it is made anew.
func TestNowDoesNotGoBack(t *testing.T) {
	last := bootclock.Now()
	for start := time.Now(); time.Since(start) < 3*time.Millisecond; {
		now := bootclock.Now()
		if now.Before(last) {
			t.Fatalf("%v comes before %v", now, last)
		}
		last = now
	}
}
