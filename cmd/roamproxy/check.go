package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy"
)

type checkCmd struct {
	Config  string `help:"Configuration file." placeholder:"FILE"`
	Quiet   bool   `short:"q" help:"Print only the verdict."`
	NoFiles bool   `help:"Do not read the files with keys and certificates, which may be on another machine."`
	Connect bool   `help:"Ask Roam whose each credential is. Costs one call of its quota, past the queue of a roamproxy that runs."`
}

// Run prints the configuration in force, or every mistake in it, and, if that is wanted, what Roam says to it. The verdict comes last.
func (c checkCmd) Run(p *program) error {
	load := config.Load
	if c.NoFiles {
		load = config.LoadWithoutFiles
	}
	l, err := load(c.Config, p.getenv, nil)
	if err != nil {
		verdict := errors.New(count(strings.Count(err.Error(), "\n")+1, "error"))
		if c.Quiet {
			return verdict
		}
		return errors.Join(err, verdict)
	}
	out := *p
	if c.Quiet {
		out.out = io.Discard
	}
	l.Print(out.out)
	printRules(out.out, l.Cache)
	if c.Connect {
		if err := connect(&out, l); err != nil {
			return err
		}
	}
	file := c.Config
	if file == "" {
		file = p.getenv("ROAMPROXY_CONFIG")
	}
	if file == "" {
		file = "no file"
	}
	fmt.Fprintf(p.out, "ok: %s, %s, %s\n", count(len(l.Tools), "tool"), count(len(l.Quotas), "quota"), file)
	return nil
}

// count writes a number of things in English.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// printRules writes the whole table of what is kept, as comments between the configuration and the verdict.
func printRules(w io.Writer, c config.Cache) {
	configured, _ := server.CacheRules(c)
	fmt.Fprintln(w, "\n# What is kept, the first match wins:")
	for i, r := range proxy.Rules(configured) {
		ttl, origin := config.Duration(r.TTL).String(), "built in"
		switch {
		case r.Origin:
			ttl = "by Roam's headers"
		case !r.Keeps():
			ttl = "never"
		}
		if r.PageSize > 0 {
			ttl += fmt.Sprintf(", pages of %d", r.PageSize)
		}
		if i < len(configured) {
			origin = fmt.Sprintf("cache.rules[%d]", i)
		}
		stale := ""
		if r.Keeps() && r.Stale > 0 {
			stale = ", stale " + config.Duration(r.Stale).String()
		}
		fmt.Fprintf(w, "#   %-36s %-24s # %s\n", r.Match, ttl+stale, origin)
	}
	fmt.Fprintln(w, "#   everything else                      never")
}
