package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/limiter/statefile"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
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

// connect asks Roam for the owner of each credential, and prints it beside the configuration. It sends calls as the proxy does, but
// without the queue, since roamproxy may not be running.
func connect(p *program, l *config.Loaded) error {
	upstream, err := url.Parse(l.Upstream.URL)
	if err != nil {
		return err
	}
	base, err := proxy.NewTransport(proxy.TransportOptions{MaxInFlight: 1, CAFile: l.Upstream.CAFile})
	if err != nil {
		return err
	}
	defer base.CloseIdleConnections()
	var wrong []error
	for _, k := range l.Credentials {
		if k.OAuth.IsSet() {
			fmt.Fprintf(p.out, "\ncredential %s is not tried: its refresh token works once, and the running roamproxy needs it; see its "+
				"/readyz\n", k.Name)
			continue
		}
		fmt.Fprintf(p.out, "\ncredential %s, by one call of token.info at %s\n", k.Name, l.Upstream.URL)
		rt := &credential.Transport{Next: base, Name: k.Name, Source: server.Source(k, nil, base), Scheme: upstream.Scheme, Host: upstream.Host}
		if err := askIdentity(p, l, rt, k); err != nil {
			wrong = append(wrong, fmt.Errorf("credential %s: %w", k.Name, err))
		}
	}
	return errors.Join(wrong...)
}

// infoSize bounds an answer of token.info in bytes: far more than Roam sends.
const infoSize = 64 << 10

func askIdentity(p *program, l *config.Loaded, rt http.RoundTripper, k config.Credential) error {
	ctx, cancel := context.WithTimeout(p.ctx, time.Duration(l.Upstream.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.Upstream.URL, "/")+"/v1/token.info", nil)
	if err != nil {
		return err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no connection to Roam: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, infoSize))
	if err != nil {
		return fmt.Errorf("the answer of Roam is incomplete: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return errors.New("answered 401 by Roam: the key is wrong or revoked; create a new one in Roam's administration")
	case http.StatusTooManyRequests:
		return fmt.Errorf("answered 429 by Roam: the key is valid, and its quota is used up now; try again in %s s",
			res.Header.Get("Retry-After"))
	default:
		return fmt.Errorf("answered %s by Roam: %.200q", res.Status, body)
	}
	var info struct {
		Addr   string
		Scopes []string
		Roam   struct{ ID, Name string }
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return fmt.Errorf("the answer to token.info is not Roam's; check upstream.url: %w", err)
	}
	fmt.Fprintf(p.out, "  workspace  %q (%q)\n  acts as    %q\n  scopes     %q\n", info.Roam.Name, info.Roam.ID, info.Addr, info.Scopes)
	q := l.Quotas[slices.IndexFunc(l.Quotas, func(q config.Quota) bool { return q.Name == k.Quota })]
	fmt.Fprintf(p.out, "  quota      %s: %v at once, then %v a second, as configured\n", q.Name, q.Burst, q.Rate)
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		if !strings.Contains(strings.ToLower(name), "ratelimit") {
			continue
		}
		fmt.Fprintf(p.out, "             Roam says %s: %q\n", name, res.Header.Get(name))
	}
	return nil
}
