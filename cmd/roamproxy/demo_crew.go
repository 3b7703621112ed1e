package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"roamproxy/proxy/roamtest"
)

// crew is three tools at work, and what became of their requests.
type crew struct {
	roam  *roamtest.Roam
	proxy *running // nil: they call Roam directly

	mu    sync.Mutex // guards the tallies
	tally [3]tally
}

// tally is one tool's account.
type tally struct {
	name            string
	good, throttled int
	failed          int
	longest         time.Duration
	items           int // users exported, messages posted, or refreshed pictures
	noun            string
}

func newCrew(roam *roamtest.Roam, proxy *running) *crew {
	return &crew{roam: roam, proxy: proxy, tally: [3]tally{{name: "export", noun: "users"}, {name: "standup-bot", noun: "posts"}, {name: "dashboard", noun: "refreshes"}}}
}

// work lets the tools call base for a while, and shows them.
func (c *crew) work(ctx context.Context, base string, d time.Duration, show func(*crew, time.Duration)) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
	defer client.CloseIdleConnections()
	var tools sync.WaitGroup
	tools.Go(func() { c.export(ctx, client, base) })
	tools.Go(func() { c.post(ctx, client, base) })
	tools.Go(func() { c.poll(ctx, client, base) })
	start, tick := time.Now(), time.NewTicker(250*time.Millisecond)
	defer tick.Stop()
	for {
		show(c, time.Since(start))
		select {
		case <-tick.C:
		case <-ctx.Done():
			tools.Wait()
			return
		}
	}
}

// export walks the users page by page, as somebody wrote it in an afternoon: a 429 is tried again after 0.5, 1 and 2 seconds,
// and then the export gives up and begins anew.
func (c *crew) export(ctx context.Context, client *http.Client, base string) {
	for ctx.Err() == nil {
		cursor, users := "", 0
		for {
			var page struct {
				Users []json.RawMessage
				Next  string `json:"nextCursor"`
			}
			status := 0
			for _, wait := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 0} {
				if status = c.call(ctx, 0, client, http.MethodGet, base+"/v1/user.list?cursor="+cursor, "", &page); status != http.StatusTooManyRequests || wait == 0 {
					break
				}
				rest(ctx, wait)
			}
			if status != http.StatusOK {
				break
			}
			users += len(page.Users)
			c.mu.Lock()
			c.tally[0].items = max(c.tally[0].items, users)
			c.mu.Unlock()
			if cursor = page.Next; cursor == "" {
				<-ctx.Done() // all done
				break
			}
		}
		rest(ctx, time.Second)
	}
}

// post says something every two seconds. It has no handling of 429, like many.
func (c *crew) post(ctx context.Context, client *http.Client, base string) {
	for n := 1; ctx.Err() == nil; n++ {
		if c.call(ctx, 1, client, http.MethodPost, base+"/v1/chat.post", fmt.Sprintf(`{"chat":"C-standup","text":"message %d"}`, n), nil) == http.StatusOK {
			c.mu.Lock()
			c.tally[1].items++
			c.mu.Unlock()
		}
		rest(ctx, 2*time.Second)
	}
}

// poll reads three lists every second.
func (c *crew) poll(ctx context.Context, client *http.Client, base string) {
	for ctx.Err() == nil {
		good := 0
		for _, path := range []string{"/v1/groups.list", "/v1/meeting.list", "/v1/recording.list"} {
			if c.call(ctx, 2, client, http.MethodGet, base+path, "", nil) == http.StatusOK {
				good++
			}
		}
		if good == 3 {
			c.mu.Lock()
			c.tally[2].items++
			c.mu.Unlock()
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
func (c *crew) call(ctx context.Context, tool int, client *http.Client, method, url, body string, into any) int {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
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
	content, err := io.ReadAll(res.Body)
	if err != nil {
		return c.count(ctx, tool, 0, start)
	}
	if into != nil && res.StatusCode == http.StatusOK {
		json.Unmarshal(content, into)
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
	case http.StatusTooManyRequests:
		t.throttled++
	default:
		t.failed++
	}
	t.longest = max(t.longest, time.Since(start))
	return status
}

// draw is six lines.
func (c *crew) draw(at time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	tokens := c.roam.Tokens()
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\x1b[K\n", args...) }
	line("  %4.0f s   tokens %s%s %4.1f", at.Seconds(), strings.Repeat("█", int(tokens)), strings.Repeat("·", 10-int(tokens)), tokens)
	for _, t := range c.tally {
		line("  %-12s %4d good  %4d × 429   %3d %s", t.name, t.good, t.throttled, t.items, t.noun)
	}
	line("  Roam         %4d calls %4d × 429", c.roam.Calls(), c.roam.Refused())
	if c.proxy == nil {
		line("")
	} else {
		state := c.proxy.queues()["roam"].State()
		waiting := 0
		for _, n := range state.Waiting {
			waiting += n
		}
		line("  roamproxy    %4d waiting, %d calls saved", waiting, c.asked()-(c.roam.Calls()-state.InFlight))
	}
	return b.String()
}

// asked is how many requests the tools have had answered. The caller holds the lock.
func (c *crew) asked() (n int) {
	for _, t := range c.tally {
		n += t.good + t.throttled + t.failed
	}
	return n
}

func (c *crew) line(at time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := []string{fmt.Sprintf("  %2.0f s: %4.1f tokens, Roam saw %d calls and said 429 to %d", at.Seconds(), c.roam.Tokens(), c.roam.Calls(), c.roam.Refused())}
	for _, t := range c.tally {
		parts = append(parts, fmt.Sprintf("%s %d %s", t.name, t.items, t.noun))
	}
	return strings.Join(parts, "; ")
}

// compare is the table at the end.
func compare(direct, through *crew) string {
	var b strings.Builder
	row := func(name string, a, z any) { fmt.Fprintf(&b, "  %-34s %12v %16v\n", name, a, z) }
	row("", "directly", "with roamproxy")
	row("requests of the tools answered well", direct.good(), through.good())
	row("requests answered 429", direct.refused(), through.refused())
	for i, t := range direct.tally {
		row(t.name+": "+t.noun, t.items, through.tally[i].items)
	}
	row("calls that Roam saw", direct.roam.Calls(), through.roam.Calls())
	row("429s that Roam said", direct.roam.Refused(), through.roam.Refused())
	row("longest wait of a tool", direct.longest(), through.longest())
	return b.String()
}

func (c *crew) good() (n int) {
	for _, t := range c.tally {
		n += t.good
	}
	return n
}

func (c *crew) refused() (n int) {
	for _, t := range c.tally {
		n += t.throttled
	}
	return n
}

func (c *crew) longest() (d time.Duration) {
	for _, t := range c.tally {
		d = max(d, t.longest)
	}
	return d.Round(10 * time.Millisecond)
}
