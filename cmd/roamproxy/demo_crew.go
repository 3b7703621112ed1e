package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/roamtest"
)

// crew is three tools at work, and what became of their requests.
type crew struct {
	roam  *roamtest.Roam
	proxy *server.Server // nil: they call Roam directly

	mu    sync.Mutex // guards the tallies
	tally [3]tally
}

// tally is one tool's account.
type tally struct {
	name            string
	good, throttled int
	failed          int
	longest         time.Duration // that a request took which was answered well
	items           int           // messages moved or posted, or refreshed pictures
	noun            string
}

func newCrew(roam *roamtest.Roam, proxy *server.Server) *crew {
	return &crew{roam: roam, proxy: proxy, tally: [3]tally{{name: "migration", noun: "moved"}, {name: "standup-bot", noun: "posts"}, {name: "dashboard", noun: "refreshes"}}}
}

// work lets the tools call base for a while, and shows them.
func (c *crew) work(ctx context.Context, base string, d time.Duration, show func(*crew, time.Duration)) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: flood + 4}}
	defer client.CloseIdleConnections()
	var tools sync.WaitGroup
	for range flood {
		tools.Go(func() { c.move(ctx, client, base) })
	}
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

// draw is six lines.
func (c *crew) draw(at time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	tokens := c.roam.Tokens()
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\x1b[K\n", args...) }
	line("  %4.0f s   tokens %s%s %4.1f", at.Seconds(), strings.Repeat("█", int(tokens)), strings.Repeat("·", 10-int(tokens)), tokens)
	for _, t := range c.tally {
		line("  %-12s %4d good  %4d × 429   %4d %-10s longest wait %4.1f s", t.name, t.good, t.throttled, t.items, t.noun, t.longest.Seconds())
	}
	line("  Roam         %4d calls %4d × 429", c.roam.Calls(), c.roam.Refused())
	if c.proxy == nil {
		line("")
	} else {
		state := c.proxy.QueueState("roam")
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
	for i, t := range direct.tally {
		row(t.name+": "+t.noun, t.items, through.tally[i].items)
		row(t.name+": answered 429", t.throttled, through.tally[i].throttled)
		row(t.name+": longest wait", waited(t.longest), waited(through.tally[i].longest))
	}
	row("calls that Roam saw", direct.roam.Calls(), through.roam.Calls())
	row("429s that Roam said", direct.roam.Refused(), through.roam.Refused())
	return b.String()
}

func (c *crew) good() (n int) {
	for _, t := range c.tally {
		n += t.good
	}
	return n
}

// waited is a time as the table shows it.
func waited(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
