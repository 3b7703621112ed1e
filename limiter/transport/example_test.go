package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// Roam refuses the first call. The client does not see that: its call is sent again after the pause.
func Example() {
	calls := 0
	roam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		io.WriteString(w, "hello")
	}))
	defer roam.Close()
	bucket, err := limiter.NewLocal(1, 10, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	queue := limiter.New(limiter.Options{Bucket: bucket})
	defer queue.Close()
	client := &http.Client{Transport: &transport.RoundTripper{Next: roam.Client().Transport, Queue: queue, Bodies: transport.NewBodies(0, "")}}
	res, err := client.Get(roam.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, string(body), "after", calls, "calls")
	// Output: 200 hello after 2 calls
}
