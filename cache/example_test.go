package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"roamproxy/cache"
	"roamproxy/cache/cachetest"
)

// A repeated read is answered from the cache, until a write invalidates its route.
func ExampleCache_Do() {
	c, err := cache.New(cache.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	r, _ := http.NewRequest(http.MethodGet, "https://api.ro.am/v1/groups.list", nil)
	lookup := cache.Lookup{
		Key: cache.NewKey("org", r, nil), Route: "/v1/groups.list", Request: r.Header,
		Rule: cache.Rule{TTL: 30 * time.Second, Stale: 10 * time.Minute},
	}
	roam := &cachetest.Upstream{}
	read := func() {
		a, err := c.Do(context.Background(), lookup, roam)
		if err != nil {
			panic(err)
		}
		fmt.Println(a.Result, string(a.Body))
	}
	read()
	read()
	n := c.Invalidate(func(route string) bool { return strings.HasPrefix(route, "/v1/group") })
	fmt.Println("invalidated", n)
	read()
	// Output:
	// miss {"ok":true,"call":1}
	// hit {"ok":true,"call":1}
	// invalidated 1
	// miss {"ok":true,"call":2}
}

// A request with only-if-cached never causes an upstream call.
func ExampleErrOnlyIfCached() {
	c, err := cache.New(cache.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	lookup := cache.Lookup{Key: "k", Rule: cache.Rule{TTL: time.Minute}, Request: http.Header{"Cache-Control": {"only-if-cached"}}}
	_, err = c.Do(context.Background(), lookup, &cachetest.Upstream{})
	fmt.Println(errors.Is(err, cache.ErrOnlyIfCached))
	// Output: true
}

// Two requests that Roam could answer differently have different keys.
func ExampleNewKey() {
	key := func(url string) cache.Key {
		r, _ := http.NewRequest(http.MethodGet, url, nil)
		return cache.NewKey("org", r, nil)
	}
	fmt.Println(key("https://api.ro.am/v1/user.list?limit=10&cursor=a") == key("https://api.ro.am/v1/user.list?cursor=a&limit=10"))
	fmt.Println(key("https://api.ro.am/v1/user.list?limit=10") == key("https://api.ro.am/v1/user.list?limit=20"))
	// Output:
	// true
	// false
}
