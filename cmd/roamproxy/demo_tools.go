package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"roamproxy/proxy/roamtest"
)

// flood is how many messages the migration moves at once: twice the burst, so that some of it always waits.
const flood = 20

// move posts messages as fast as it can, as somebody wrote it in an afternoon: a 429 is tried again after 0.5, 1 and 2 seconds,
// and then the message is lost.
func (c *crew) move(ctx context.Context, client *http.Client, base string) {
	for n := 1; ctx.Err() == nil; n++ {
		for _, wait := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 0} {
			status := c.call(ctx, 0, client, http.MethodPost, base+"/v1/chat.post", fmt.Sprintf(`{"chat":"C-archive","text":"message %d"}`, n))
			if status == http.StatusOK {
				c.got(0)
			}
			if status != http.StatusTooManyRequests {
				break
			}
			rest(ctx, wait)
		}
	}
}

func (c *crew) got(tool int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally[tool].items++
}

// post says something every two seconds. It has no handling of 429, like many.
func (c *crew) post(ctx context.Context, client *http.Client, base string) {
	for n := 1; ctx.Err() == nil; n++ {
		if c.call(ctx, 1, client, http.MethodPost, base+"/v1/chat.post", fmt.Sprintf(`{"chat":"C-standup","text":"message %d"}`, n)) == http.StatusOK {
			c.got(1)
		}
		rest(ctx, 2*time.Second)
	}
}

// poll reads three lists every second.
func (c *crew) poll(ctx context.Context, client *http.Client, base string) {
	for ctx.Err() == nil {
		good := 0
		for _, path := range []string{"/v1/groups.list", "/v1/meeting.list", "/v1/recording.list"} {
			if c.call(ctx, 2, client, http.MethodGet, base+path, "") == http.StatusOK {
				good++
			}
		}
		if good == 3 {
			c.got(2)
		}
		rest(ctx, time.Second)
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// call counts one request. What the end of the demonstration cuts off is not counted.
func (c *crew) call(ctx context.Context, tool int, client *http.Client, method, url, body string) int {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0
	}
	if c.proxy == nil {
		req.Header.Set("Authorization", "Bearer "+roamtest.DefaultKey)
	}
	req.Header.Set("Roamproxy-Tool", c.tally[tool].name)
	start := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return c.count(ctx, tool, 0, start)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return c.count(ctx, tool, 0, start)
	}
	return c.count(ctx, tool, res.StatusCode, start)
}

func (c *crew) count(ctx context.Context, tool, status int, start time.Time) int {
	if ctx.Err() != nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.tally[tool]
	switch status {
	case http.StatusOK:
		t.good++
		t.longest = max(t.longest, time.Since(start))
	case http.StatusTooManyRequests:
		t.throttled++
	default:
		t.failed++
	}
	return status
}
