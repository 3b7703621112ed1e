package cachetest_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"roamproxy/cache"
	"roamproxy/cache/cachetest"
)

// A test counts how many calls its reads cost.
func Example() {
	c, err := cache.New(cache.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	upstream := &cachetest.Upstream{Answer: func(call int) string { return fmt.Sprintf(`{"version":%d}`, call) }}
	for range 2 {
		lookup := cache.Lookup{Key: "k", Rule: cache.Rule{TTL: time.Minute}, Request: http.Header{}}
		a, err := c.Do(context.Background(), lookup, upstream)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(a.Result, string(a.Body))
	}
	fmt.Println(upstream.Calls(), "call")
	// Output:
	// miss {"version":1}
	// hit {"version":1}
	// 1 call
}
