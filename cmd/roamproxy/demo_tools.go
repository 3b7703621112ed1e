package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/roamtest"
)

// crew is the three tools of the demonstration, and the results of their tasks.
type crew struct {
	roam  *roamtest.Roam
	proxy *server.Server // nil: they call Roam directly

	mu                        sync.Mutex // guards the following
	migration, bot, dashboard tally
	ended                     time.Time
}

// tally counts one tool's tasks. A task is what its user wants: a message moved, a message posted, a dashboard refreshed.
type tally struct {
	name, did       string
	wanted, done    int
	lost            int // given up
	good, throttled int // answers
	open            map[*task]bool
	longest         time.Duration // from the start of a task to its success
}

type task struct {
	of    *tally
	since time.Time
}

func newCrew(roam *roamtest.Roam, proxy *server.Server) *crew {
	tool := func(name, did string) tally { return tally{name: name, did: did, open: make(map[*task]bool)} }
	return &crew{roam: roam, proxy: proxy, migration: tool("migration", "moved"), bot: tool("standup-bot", "posted"),
		dashboard: tool("dashboard", "refreshed")}
}

func (c *crew) tallies() []*tally { return []*tally{&c.migration, &c.bot, &c.dashboard} }

// work runs the tools against base for a while, and shows their state.
func (c *crew) work(ctx context.Context, base string, d time.Duration, show func(*crew, time.Duration)) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: flood + 4}}
	defer client.CloseIdleConnections()
	var tools sync.WaitGroup
	for range flood {
		tools.Go(func() { c.move(ctx, client, base) })
	}
	tools.Go(func() {
		c.every(ctx, &c.bot, 2*time.Second, func() bool { return c.post(ctx, &c.bot, client, base) })
	})
	tools.Go(func() {
		c.every(ctx, &c.dashboard, time.Second, func() bool { return c.refresh(ctx, client, base) })
	})
	start, tick := time.Now(), time.NewTicker(250*time.Millisecond)
	defer tick.Stop()
	for {
		show(c, time.Since(start))
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.mu.Lock()
			c.ended = time.Now()
			c.mu.Unlock()
			tools.Wait()
			return
		}
	}
}

// flood is how many messages the migration moves at once: twice the burst, so that some of its calls always wait.
const flood = 20

// move moves messages as fast as it can, like a simple script. It tries again 0.5, 1 and 2 seconds after a 429. Then the message is lost.
func (c *crew) move(ctx context.Context, client *http.Client, base string) {
	for ctx.Err() == nil {
		t := c.want(&c.migration)
		moved := c.post(ctx, &c.migration, client, base)
		for _, wait := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
			if moved || ctx.Err() != nil {
				break
			}
			rest(ctx, wait)
			moved = c.post(ctx, &c.migration, client, base)
		}
		c.end(ctx, t, moved)
	}
}

// every starts a task at each interval and works on one after the other. It tries each task until it succeeds, at the same interval.
func (c *crew) every(ctx context.Context, of *tally, interval time.Duration, try func() bool) {
	tasks := make(chan *task, 1000) // more intervals than a part has
	go func() {
		defer close(tasks)
		for due := time.NewTicker(interval); ; {
			tasks <- c.want(of)
			select {
			case <-due.C:
			case <-ctx.Done():
				due.Stop()
				return
			}
		}
	}()
	for t := range tasks {
		for !try() && ctx.Err() == nil {
			rest(ctx, interval)
		}
		c.end(ctx, t, true)
	}
}

func (c *crew) post(ctx context.Context, of *tally, client *http.Client, base string) bool {
	return c.call(ctx, of, client, http.MethodPost, base+"/v1/chat.post", fmt.Sprintf(`{"chat":"C-%s","text":"a message"}`, of.name))
}

// refresh reads three lists, and succeeds only with all of them.
func (c *crew) refresh(ctx context.Context, client *http.Client, base string) bool {
	all := true
	for _, path := range []string{"/v1/groups.list", "/v1/meeting.list", "/v1/recording.list"} {
		all = c.call(ctx, &c.dashboard, client, http.MethodGet, base+path, "") && all
	}
	return all
}

// want starts a task.
func (c *crew) want(of *tally) *task {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &task{of, time.Now()}
	of.wanted++
	of.open[t] = true
	return t
}

// end ends a task, unless the demonstration has ended.
func (c *crew) end(ctx context.Context, t *task, done bool) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(t.of.open, t)
	if !done {
		t.of.lost++
		return
	}
	t.of.done++
	t.of.longest = max(t.of.longest, time.Since(t.since))
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// call sends one request, counts its answer, and reports success. A request that the end of the demonstration cancels is not counted.
func (c *crew) call(ctx context.Context, of *tally, client *http.Client, method, url, body string) bool {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return false
	}
	if c.proxy == nil {
		req.Header.Set("Authorization", "Bearer "+roamtest.DefaultKey)
	}
	req.Header.Set("Roamproxy-Tool", of.name)
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || ctx.Err() != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch res.StatusCode {
	case http.StatusOK:
		of.good++
	case http.StatusTooManyRequests:
		of.throttled++
	}
	return res.StatusCode == http.StatusOK
}

// wait returns the longest time from the start of a task to its success, and whether that task still waits. The caller holds the lock.
func (t *tally) wait(now time.Time) (longest time.Duration, waits bool) {
	longest = t.longest
	for open := range t.open {
		if since := now.Sub(open.since); since > longest {
			longest, waits = since, true
		}
	}
	return longest, waits
}
