package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

type demoCmd struct {
	Hold bool          `help:"Keep the second part running at the end, for its admin pages and for curl."`
	Part time.Duration `help:"Duration of each part." default:"21s" hidden:""`
}

// demoLatency is the usual time of a call to an API on the internet.
const demoLatency = 120 * time.Millisecond

// Run runs three tools on a simulated Roam with the real quota, first directly and then through roamproxy, and compares the results.
// Every figure is counted.
func (d demoCmd) Run(p *program) error {
	fmt.Fprint(p.out, `A simulated Roam with the real quota, 10 calls at once and then 1 a second,
and three tools that share it:
  migration     moves messages, 20 at a time; after four 429s a message is lost
  standup-bot   wants to post a message every two seconds
  dashboard     wants to refresh three lists every second
`)
	fmt.Fprintf(p.out, "\n1. Each tool calls Roam directly (%v)\n\n", d.Part)
	draw := d.painter(p)
	before := roamtest.NewServer(roamtest.Options{Latency: demoLatency})
	direct := newCrew(before.Roam, nil)
	direct.work(p.ctx, before.URL, d.Part, draw())
	before.Close()
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}

	fmt.Fprintf(p.out, "\n2. The same through roamproxy (%v)\n\n", d.Part)
	roam := roamtest.NewServer(roamtest.Options{Latency: demoLatency})
	defer roam.Close()
	state, err := os.MkdirTemp("", "roamproxy-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	c := config.Default(func(string) string { return "" })
	c.Listen, c.Admin.Listen, c.Upstream.URL, c.StateDir = "127.0.0.1:0", "127.0.0.1:0", roam.URL, state
	c.Credentials[0].APIKey = credential.NewSecret(roamtest.DefaultKey)
	proxy, err := server.Start(c, server.NewLog(c.Log, io.Discard), nil)
	if err != nil {
		return err
	}
	defer proxy.Stop(config.Limits{ShutdownGrace: config.Duration(time.Second)})
	through := newCrew(roam.Roam, proxy)
	through.work(p.ctx, "http://"+proxy.Addr, d.Part, draw())
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	fmt.Fprint(p.out, "\n", compare(direct, through), "\n", conclusion(direct, through))
	if d.Hold {
		fmt.Fprintf(p.out, "\nStill running; end it with Ctrl-C.\n\n    curl -i -H 'Roamproxy-Tool: me' http://%s/v1/groups.list\n    "+
			"http://%s/\n", proxy.Addr, proxy.AdminAddr)
		<-p.ctx.Done()
	}
	return nil
}

// painter returns a function that creates the painter of each part. On a terminal the painter redraws in place and in colour, elsewhere it
// prints a picture every five seconds.
func (d demoCmd) painter(p *program) func() func(*crew, time.Duration) {
	file, ok := p.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() func(*crew, time.Duration) {
			next := time.Duration(0)
			return func(c *crew, at time.Duration) {
				if at >= next {
					next = at.Truncate(time.Second) + 5*time.Second
					fmt.Fprint(p.out, c.draw(at, false))
				}
			}
		}
	}
	colour := p.getenv("NO_COLOR") == ""
	return func() func(*crew, time.Duration) {
		lines := 0
		return func(c *crew, at time.Duration) {
			if lines > 0 {
				fmt.Fprintf(p.out, "\x1b[%dA", lines)
			}
			picture := c.draw(at, colour)
			lines = strings.Count(picture, "\n")
			fmt.Fprint(p.out, strings.ReplaceAll(picture, "\n", "\x1b[K\n"))
		}
	}
}

// barWidth is the width of a bar in characters. With it no line is longer than 78.
const barWidth = 24

// draw returns the state of all tools in five lines.
func (c *crew) draw(at time.Duration, colour bool) string {
	tokens := c.roam.Tokens()
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "  %4.0f s  tokens    %s %4.1f of 10\n", at.Seconds(), bar(10, tokens, 10, paint("36", colour)), tokens)
	for _, t := range c.tallies() {
		bad := paint("31", colour)
		good, all := float64(t.good), float64(t.good+t.throttled)
		picture := bar(barWidth, good, all, paint("32", colour))
		if all > 0 {
			picture = strings.ReplaceAll(picture, "·", bad("░"))
		}
		fmt.Fprintf(&b, "  %-12s %s %3d of %3d %-9s %4d × 429\n", t.name, picture, t.done, t.wanted, t.did, t.throttled)
	}
	fmt.Fprintf(&b, "  Roam got %d calls and answered %d of them with 429", c.roam.Calls(), c.roam.Refused())
	if c.proxy != nil {
		queued := 0
		for _, n := range c.proxy.QueueState("roam").Waiting {
			queued += n
		}
		fmt.Fprintf(&b, "; %d are queued", queued)
	}
	b.WriteString("\n")
	return b.String()
}

// paint returns a function that colours a text (ECMA-48, SGR), or leaves it unchanged.
func paint(code string, colour bool) func(string) string {
	return func(s string) string {
		if !colour || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
}

// bar returns a bar of which the part is/of is filled, to an eighth of a character, so that a small part is visible.
func bar(width int, is, of float64, fill func(string) string) string {
	eighths := 0
	if of > 0 {
		eighths = int(min(max(is/of, 0), 1)*float64(8*width) + 0.5)
	}
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return fill(text) + strings.Repeat("·", width-(eighths+7)/8)
}

// compare returns the table at the end.
func compare(direct, through *crew) string {
	var b strings.Builder
	row := func(name string, a, z any) { fmt.Fprintf(&b, "  %-40s %14v %18v\n", name, a, z) }
	row("", "directly", "with roamproxy")
	row("answered 429 by Roam", direct.roam.Refused(), through.roam.Refused())
	row("calls that Roam got", direct.roam.Calls(), through.roam.Calls())
	others := through.tallies()
	for i, t := range direct.tallies() {
		row(t.name+": "+t.did, t.share(), others[i].share())
		if t.lost+others[i].lost > 0 {
			row(t.name+": lost", t.lost, others[i].lost)
		}
		if t != &direct.migration { // bulk work: its calls may wait, and are not lost
			row(t.name+": longest wait for success", t.longestText(direct.ended), others[i].longestText(through.ended))
		}
	}
	return b.String()
}

func (t *tally) share() string { return fmt.Sprintf("%d of %d", t.done, t.wanted) }

func (t *tally) longestText(now time.Time) string {
	longest, waits := t.wait(now)
	if waits {
		return fmt.Sprintf("over %.1f s", longest.Seconds())
	}
	return fmt.Sprintf("%.1f s", longest.Seconds())
}

// conclusion returns one sentence for each part.
func conclusion(direct, through *crew) string {
	say := func(c *crew) string {
		return fmt.Sprintf("%d answers 429; the bot posted %s,\n  the dashboard refreshed %s, %d messages were lost.\n", c.roam.Refused(),
			c.bot.share(), c.dashboard.share(), c.migration.lost)
	}
	return "Without roamproxy: " + say(direct) + "With roamproxy:    " + say(through) + "\nNext: ROAM_API_KEY=… roamproxy serve\n"
}
