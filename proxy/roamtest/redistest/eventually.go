package redistest

import "time"

// Eventually waits until a condition holds that another goroutine or another program brings about. It fails the test after 20 s,
// which a busy machine does not need.
func Eventually(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
