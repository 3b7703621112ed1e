package limiter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/buckettest"
)

func TestLocalIsABucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := limiter.NewLocal(1, 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		buckettest.Run(t, b, time.Sleep, 0)
	})
}
