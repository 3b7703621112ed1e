package redisquota

import (
	"testing"

	"go.uber.org/goleak"
)

// A client of a Cluster looks at it again after a second, and hangs up on nodes that are gone after five; nothing wakes it sooner.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}
