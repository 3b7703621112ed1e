package paging_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"roamproxy/cache"
	"roamproxy/proxy/paging"
)

// A tool reads four users in pages of two, which are cut from one page of four. In roamproxy Ask reads the cache, which has the page the
// second time; here it is a function of the example.
func Example() {
	ask := func(r *http.Request) (*cache.Answer, error) {
		fmt.Println("ask for", r.URL.RawQuery)
		body := `{"users":["Ada","Grace","Edsger","Barbara"],"nextCursor":"4"}`
		return &cache.Answer{Status: 200, Header: http.Header{}, Body: []byte(body)}, nil
	}
	var pages paging.Pages
	query := "limit=2"
	for range 2 {
		part, err := pages.Answer(paging.Request{
			HTTP: &http.Request{Method: "GET", URL: &url.URL{Path: "/v1/user.list", RawQuery: query}, Header: http.Header{}},
			List: "org /v1/user.list", PageSize: 4, Ask: ask,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		var page struct {
			Users      []string
			NextCursor string
		}
		if err := json.Unmarshal(part.Body, &page); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(page.Users)
		query = "limit=2&cursor=" + page.NextCursor
	}
	// Output:
	// ask for limit=4
	// [Ada Grace]
	// ask for limit=4
	// [Edsger Barbara]
}
