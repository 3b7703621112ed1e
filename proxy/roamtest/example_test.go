package roamtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"roamproxy/proxy/roamtest"
)

// A tool's own test points the tool at a simulated Roam, and asserts on what it answered or on what arrived.
func Example() {
	roam := roamtest.NewServer(roamtest.Options{Rate: 100})
	defer roam.Close()
	roam.Script(roamtest.Throttle("2").On("POST /v1/chat.post"))

	for range 2 {
		req, _ := http.NewRequest("POST", roam.URL+"/v1/chat.post", strings.NewReader(`{"chatId":"C-1","text":"hello"}`))
		req.Header.Set("Authorization", "Bearer "+roamtest.DefaultKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Printf("%d, Retry-After %q\n", res.StatusCode, res.Header.Get("Retry-After"))
	}
	fmt.Println(roam.Calls(), "calls arrived")
	// Output:
	// 429, Retry-After "2"
	// 200, Retry-After ""
	// 2 calls arrived
}

// The transport needs no socket, so a test can run in simulated time (testing/synctest).
func ExampleRoam_Transport() {
	roam := roamtest.New(roamtest.Options{Latency: time.Millisecond})
	client := &http.Client{Transport: roam.Transport()}
	res, err := client.Get("http://roam.example/v1/groups.list")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode, "without a credential")
	// Output: 401 without a credential
}
