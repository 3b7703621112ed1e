package limiter

import (
	"testing"

	"go.uber.org/goleak"
)

// The client's next look at a Cluster sleeps for a second at most, and nothing wakes it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}
