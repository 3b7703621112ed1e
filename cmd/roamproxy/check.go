package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/limiter/statefile"
	"roamproxy/proxy"
)

type checkCmd struct {
	Config  string `help:"Configuration file." placeholder:"FILE"`
	Quiet   bool   `short:"q" help:"Print only the result."`
	NoFiles bool   `help:"Do not read key and certificate files, which may be on another machine."`
	Route   string `help:"Explain how a request is treated, such as 'GET /v1/user.list?expand=status'." placeholder:"'METHOD PATH'"`
	Connect bool   `help:"Ask Roam for the owner of each credential. Costs one call of its quota, outside the queue of a running roamproxy."`
}

// Run prints the effective configuration, or every mistake in it. With --connect it also prints the owner of each credential. The last
// line is the result.
func (c checkCmd) Run(p *program) error {
	load := config.Load
	if c.NoFiles {
		load = config.LoadWithoutFiles
	}
	l, err := load(c.Config, p.getenv, nil)
	if err != nil {
		result := errors.New(count(strings.Count(err.Error(), "\n")+1, "error"))
		if c.Quiet {
			return result
		}
		return errors.Join(err, result)
	}
	if c.Route != "" {
		return explainRoute(p.out, l.Config, c.Route)
	}
	for _, w := range l.Warnings {
		fmt.Fprintln(p.err, "roamproxy: warning:", w)
	}
	if err := statefile.Check(l.StateDir); err != nil {
		fmt.Fprintln(p.err, "roamproxy: warning: serve would not start as this user: state_dir:", err)
	}
	out := *p
	if c.Quiet {
		out.out = io.Discard
	}
	l.Print(out.out)
	printRules(out.out, l.Config)
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

// count returns a number of things in English.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// printRules writes the table of cached routes, as comments between the configuration and the result.
func printRules(w io.Writer, c config.Config) {
	fmt.Fprintln(w, "\n# What is cached. The first match counts; a key that cache.rules does not name comes from the "+
		"built-in rule of the route.")
	for i, r := range server.Tables(c).Rules {
		fmt.Fprintf(w, "#   %-36s %-24s # cache.rules[%d]\n", r.Match, ruleString(r), i)
	}
	for _, r := range proxy.BuiltinRules() {
		fmt.Fprintf(w, "#   %-36s %-24s # built in\n", r.Match, ruleString(r))
	}
	fmt.Fprintln(w, "#   everything else                      never")
}

// ruleString returns the keys that a rule names.
func ruleString(r proxy.Rule) string {
	var parts []string
	switch {
	case r.Origin:
		parts = append(parts, "by Roam's headers")
	case r.TTL != nil && *r.TTL == 0:
		parts = append(parts, "never")
	case r.TTL != nil:
		parts = append(parts, config.Duration(*r.TTL).String())
	}
	if r.Stale != nil && *r.Stale > 0 {
		parts = append(parts, "stale "+config.Duration(*r.Stale).String())
	}
	if r.PageSize != nil && *r.PageSize > 0 {
		parts = append(parts, fmt.Sprintf("pages of %d", *r.PageSize))
	}
	return strings.Join(parts, ", ")
}

// explainRoute writes how a request is treated, one line for each property.
func explainRoute(w io.Writer, c config.Config, line string) error {
	method, target, _ := strings.Cut(strings.TrimSpace(line), " ")
	e, err := server.Tables(c).Explain(method, strings.TrimSpace(target))
	if err != nil {
		return err
	}
	show := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%-15s %s\n", what, fmt.Sprintf(format, args...))
	}
	show("route", "%s %s", method, e.Route)
	show("cached", "%s", cachedString(e))
	if e.PageSize > 0 {
		show("pages", "Roam is asked for %d items at a time", e.PageSize)
	}
	if len(e.After) > 0 {
		show("invalidated by", "%s", strings.Join(e.After, ", "))
	}
	if len(e.Affects) > 0 {
		show("invalidates", "%s", strings.Join(e.Affects, ", "))
	}
	show("timeout", "%s without a byte from Roam", config.Duration(cmp.Or(e.Timeout, time.Duration(c.Upstream.Timeout))))
	for _, q := range c.Quotas {
		show("longest wait", "%s in the queue of quota %s", config.Duration(cmp.Or(e.MaxWait, time.Duration(q.MaxWait))), q.Name)
	}
	if e.Urgency != proxy.Undecided {
		show("urgency", "%d", e.Urgency)
	}
	if e.Supersede != "" {
		show("superseded", "of queued calls with the same %s only the newest is sent", e.Supersede)
	}
	return nil
}

// cachedString returns how long answers are cached, and which rule decides.
func cachedString(e proxy.Explanation) string {
	by := "no rule matches"
	if e.CachedBy != "" {
		by = "rule " + e.CachedBy
	}
	switch {
	case e.Origin:
		return fmt.Sprintf("by Roam's headers, stale %s (%s)", config.Duration(e.Stale), by)
	case !e.Stores():
		return fmt.Sprintf("never (%s)", by)
	}
	return fmt.Sprintf("%s, stale %s (%s)", config.Duration(e.TTL), config.Duration(e.Stale), by)
}
