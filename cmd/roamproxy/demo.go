package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

type demoCmd struct {
	Hold bool          `help:"Keep the second part running afterwards, to look at its admin pages and to try curl."`
	Part time.Duration `help:"How long each part takes." default:"22s" hidden:""`
}

// Run lets three tools loose on a simulated Roam with the real quota, first directly and then through roamproxy, and compares
// what Roam saw. Nothing is staged: every figure is counted.
func (d demoCmd) Run(p *program) error {
	fmt.Fprintf(p.out, "A simulated Roam with the real quota, 10 calls at once and then 1 a second, and three tools:\n"+
		"a migration that moves 20 messages at once, a calm bot that posts every two seconds, and a dashboard that polls three lists.\n")
	fmt.Fprintf(p.out, "\n1. Each tool calls Roam directly (%v)\n\n", d.Part)
	before := roamtest.NewServer(roamtest.Options{Latency: demoLatency})
	first := newCrew(before.Roam, nil)
	first.work(p.ctx, before.URL, d.Part, d.picture(p))
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
	second := newCrew(roam.Roam, proxy)
	second.work(p.ctx, "http://"+proxy.Addr, d.Part, d.picture(p))
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	fmt.Fprint(p.out, "\n", compare(first, second))
	if d.Hold {
		fmt.Fprintf(p.out, "\nStill running; end it with Ctrl-C.\n\n    curl -i -H 'Roamproxy-Tool: me' http://%s/v1/groups.list\n    http://%s/\n", proxy.Addr, proxy.AdminAddr)
		<-p.ctx.Done()
	}
	return nil
}

// demoLatency is what a call to an API on the internet usually takes.
const demoLatency = 120 * time.Millisecond

// picture shows a crew at work: in place on a terminal, and as a line every few seconds elsewhere.
func (d demoCmd) picture(p *program) func(*crew, time.Duration) {
	file, ok := p.out.(*os.File)
	if ok && term.IsTerminal(int(file.Fd())) {
		drawn := false
		return func(c *crew, at time.Duration) {
			if drawn {
				fmt.Fprint(p.out, "\x1b[6A")
			}
			drawn = true
			fmt.Fprint(p.out, c.draw(at))
		}
	}
	next := time.Duration(0)
	return func(c *crew, at time.Duration) {
		if at >= next {
			next = at.Truncate(time.Second) + 5*time.Second
			fmt.Fprintln(p.out, c.line(at))
		}
	}
}
