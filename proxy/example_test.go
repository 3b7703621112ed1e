package proxy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/limiter/transport"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/repeat"
	"roamproxy/proxy/roamtest"
)

// observer prints what Options.Observer receives.
type observer struct{}

func (observer) NewTool(name string)     { fmt.Println("new tool:", name) }
func (observer) Answered(r proxy.Report) { fmt.Println(r.Method, r.Route, r.Status, r.Cache) }
func (observer) Sent(quota, route string, status int, _ time.Duration) {
	fmt.Println("sent to Roam:", route, status)
}

// A tool asks twice for the same list, and Roam is asked once. The simulated Roam needs no socket.
func Example() {
	roam := roamtest.New(roamtest.Options{})
	bucket, err := limiter.NewLocal(1, 10, 0) // one call a second, ten at once
	if err != nil {
		fmt.Println(err)
		return
	}
	queue := limiter.New(limiter.Options{Bucket: bucket})
	defer queue.Close()
	answers, err := cache.New(cache.Options{Throttled: proxy.IsThrottled})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answers.Close()
	p, err := proxy.New(proxy.Options{
		Upstream:    &url.URL{Scheme: "http", Host: "roam.example"},
		Timeout:     30 * time.Second,
		Base:        roam.Transport(),
		Credentials: []proxy.Credential{{Name: "org", Source: credential.Key{Value: credential.NewSecret(roamtest.DefaultKey)}, Quota: "roam"}},
		Quotas:      []proxy.Quota{{Name: "roam", Queue: queue, Rate: 1, Burst: 10, MaxWait: time.Minute}},
		Bodies:      transport.NewBodies(0, ""),
		Writes:      repeat.New(),
		Streams:     eventstream.New(),
		Cache:       answers,
		Reach:       proxy.Reach{Loopback: true},
		MaxBody:     1 << 20,
		Observer:    observer{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		req := httptest.NewRequest(http.MethodGet, "/v1/group.list", nil)
		req.Host = "127.0.0.1:8080"
		req.Header.Set("Roamproxy-Tool", "report")
		p.ServeHTTP(httptest.NewRecorder(), req)
	}
	// Output:
	// new tool: report
	// sent to Roam: /v1/group.list 200
	// GET /v1/group.list 200 miss
	// GET /v1/group.list 200 hit
}

func ExampleTables_Explain() {
	e, err := proxy.Tables{}.Explain("POST", "/v1/chat.post")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("cached:", e.Stores())
	for _, route := range e.Affects {
		fmt.Println("invalidates", route)
	}
	// Output:
	// cached: false
	// invalidates chat.list
	// invalidates conversation.list
	// invalidates reaction.list
	// invalidates chat.history of the chat that the body names
}
