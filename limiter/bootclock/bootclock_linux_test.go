package bootclock_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"roamproxy/limiter/bootclock"
)

// The uptime is the kernel's, and so counts the time in which the machine was suspended. A tenth of a second less is rounding.
//
// Seen to fail with the uptime of the moment at which the process began.
func TestUptimeIsTheKernels(t *testing.T) {
	kernel := func() time.Duration {
		var at unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
			t.Fatal(err)
		}
		return time.Duration(at.Nano())
	}
	before := kernel()
	got := bootclock.Uptime(time.Now())
	if after := kernel(); got < before-100*time.Millisecond-time.Millisecond || got > after+time.Millisecond {
		t.Errorf("the machine has run for %v, want from %v to %v", got, before, after)
	}
	if bootclock.Boot() == "" {
		t.Error("this machine does not tell which of its runs this is")
	}
}

// Two readings follow one another, however many ask at once.
func TestNowDoesNotGoBack(t *testing.T) {
	for last, n := bootclock.Now(), 0; n < 1000; n++ {
		now := bootclock.Now()
		if now.Before(last) {
			t.Fatalf("%v comes before %v", now, last)
		}
		last = now
	}
}
