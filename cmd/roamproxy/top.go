package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"roamproxy/cmd/roamproxy/server"
	"roamproxy/metrics/status"
)

type topCmd struct {
	adminFlags
	Every time.Duration `help:"How often the screen is redrawn, on a terminal." default:"1s" placeholder:"DURATION"`
}

// Run redraws the terminal until it is interrupted. Without a terminal it prints the status once.
func (c topCmd) Run(p *program) error {
	admin, err := c.client(p)
	if err != nil {
		return err
	}
	defer admin.Close()
	ask := func(ctx context.Context) (status.Status, error) { return askStatus(ctx, admin) }
	file, ok := p.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		s, err := ask(p.ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(p.out, topPicture(s, 100))
		return err
	}
	width := func() int {
		if w, _, err := term.GetSize(int(file.Fd())); err == nil {
			return w
		}
		return 100
	}
	return watchTop(p.ctx, p.out, ask, width, max(c.Every, 100*time.Millisecond))
}

// topWait bounds one request.
const topWait = 5 * time.Second

func askStatus(ctx context.Context, admin *server.AdminClient) (s status.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, topWait)
	defer cancel()
	_, body, err := admin.Do(ctx, http.MethodGet, "/api/status?history")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// watchTop redraws the status again and again. While roamproxy does not answer it shows an error below the last status.
func watchTop(ctx context.Context, out io.Writer, ask func(context.Context) (status.Status, error), width func() int,
	every time.Duration) error {
	const clear, home, restOfLine, restOfScreen = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"
	fmt.Fprint(out, clear)
	tick := time.NewTicker(every)
	defer tick.Stop()
	picture := ""
	for {
		s, err := ask(ctx)
		note := ""
		if err == nil {
			picture = topPicture(s, width())
		} else if ctx.Err() == nil {
			note = "\n" + cut(server.PlainText("not connected: "+err.Error()), width()) + "\n"
		}
		fmt.Fprint(out, home, strings.ReplaceAll(picture+note, "\n", restOfLine+"\n"), restOfScreen)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// topPicture returns the status page as text for a terminal of this width.
func topPicture(s status.Status, width int) string {
	d := drawing{width: width}
	d.line("roamproxy %s   %s UTC", s.Version, s.Now.UTC().Format(time.TimeOnly))
	d.wrapped(s.Summary.Text + " " + s.Summary.Do)
	for _, q := range s.Quotas {
		d.quota(q, s.Now.Unix())
	}
	d.tools(s.Tools)
	d.line("")
	d.line("%-32s %7s %8s %5s %6s %5s %5s %6s", "ROUTE, LAST 10 MIN", "SAVED", "REQUESTS", "HIT", "SHARED", "STALE", "MISS", "BYPASS")
	for _, r := range s.Cache.Routes[:min(len(s.Cache.Routes), 10)] {
		d.line("%-32s %7d %8d %5d %6d %5d %5d %6d", cut(r.Route, 32), r.Saved, r.Calls, r.Hit, r.Shared, r.Stale, r.Miss, r.Bypass)
	}
	d.refusals(s.Refusals)
	for _, c := range s.Checks {
		if !c.OK {
			d.wrapped("RED  " + c.Name + ": " + c.Problem)
		}
	}
	return d.String()
}

// drawing is text of a limited width.
type drawing struct {
	strings.Builder
	width int
}

// line adds a line, cut at the width.
func (d *drawing) line(format string, args ...any) {
	d.WriteString(cut(strings.TrimRight(server.PlainText(fmt.Sprintf(format, args...)), " "), d.width) + "\n")
}

// wrapped adds a text, broken into lines at the width.
func (d *drawing) wrapped(text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > d.width {
			d.line("%s", line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	d.line("%s", line)
}

func (d *drawing) quota(q status.QuotaStatus, now int64) {
	state := "running"
	if q.HeldFor > 0 {
		state = fmt.Sprintf("PAUSED BY HAND for another %.0f s; roamproxy resume ends it", q.HeldFor)
	} else if q.Paused {
		state = fmt.Sprintf("PAUSED, probe in %.0f s", q.PausedFor)
	}
	d.line("")
	d.line("quota %s   %s", q.Name, state)
	d.line("  tokens   %s %.1f of %.3g, %.3g a second", blocks(q.Tokens, q.Burst, 20), q.Tokens, q.Burst, q.Rate)
	d.line("  queue    %d calls, the oldest for %.1f s; %d in flight, %d responses being read", q.Waiting, q.Oldest, q.InFlight, q.Open)
	if q.Shared && q.Replicas == 0 {
		d.line("  Redis is unreachable: this replica continues alone, with its part of the rate")
	} else if q.Shared {
		d.line("  shared by %d replicas", q.Replicas)
	}
	h := columns(q.History, now)
	d.line("  sent     %s %d in ten minutes", spark(h.sent), total(h.sent))
	d.line("  queued   %s at most %d", spark(h.queued), slices.Max(h.queued))
	if n := total(h.refused); n > 0 {
		d.line("  refused  %s %d by roamproxy", spark(h.refused), n)
	}
	if n := total(h.throttled); n > 0 {
		d.line("  429      %s %d by Roam", spark(h.throttled), n)
	}
	for _, w := range q.Holders {
		d.line("    %-20s %s %d queued, %d in flight, %d being read", cut(w.Tool, 20), blocks(float64(w.Queued), float64(q.Waiting), 12),
			w.Queued, w.Slots, w.Open)
	}
}

func (d *drawing) tools(all []status.ToolStatus) {
	const columns = "%-15s %6s %6s %6s %5s %6s %7s %7s %7s %6s"
	d.line("")
	d.line(columns, "TOOL, 10 MIN", "SHARE", "QUEUED", "ASKED", "SENT", "SAVED", "WAIT", "LONGEST", "REFUSED", "FAILED")
	for _, t := range all {
		mean, longest := "-", "-"
		if t.Sent > 0 {
			mean, longest = fmt.Sprintf("%.1f s", t.Mean), fmt.Sprintf("%.1f s", t.Longest)
		}
		number := strconv.Itoa
		d.line(columns, cut(t.Name, 15), fmt.Sprintf("%.0f %%", 100*t.Share), number(t.Waiting), number(t.Calls), number(t.Sent), number(t.Saved),
			mean, longest, number(t.Refused), number(t.Failed))
	}
}

// refusals adds one line for each tool and reason.
func (d *drawing) refusals(all []status.Refusals) {
	if len(all) == 0 {
		return
	}
	d.line("")
	d.line("%-8s %-15s %5s %-14s %s", "REFUSED", "TOOL, 10 MIN", "CALLS", "REASON", "LATEST REQUEST")
	for _, r := range all[:min(len(all), 8)] {
		d.line("%s %-15s %5d %-14s %s %s", r.Latest.UTC().Format(time.TimeOnly), cut(r.Tool, 15), r.Count, r.Reason, r.Last.ID, r.Last.Route)
	}
}

// history is ten minutes in sixty columns of ten seconds.
type history struct{ sent, queued, refused, throttled []int }

func columns(samples []status.Sample, now int64) history {
	const n, seconds = 60, 10
	h := history{make([]int, n), make([]int, n), make([]int, n), make([]int, n)}
	first := now - now%seconds - (n-1)*seconds
	for _, s := range samples {
		if i := (s.At - first) / seconds; s.At >= first && i < n {
			h.sent[i] += s.Sent
			h.queued[i] = max(h.queued[i], s.Waiting)
			h.refused[i] += s.Refused
			h.throttled[i] += s.Throttled
		}
	}
	return h
}

func total(values []int) (all int) {
	for _, v := range values {
		all += v
	}
	return all
}

// spark returns a bar chart of one line. Each value above zero has a visible bar.
func spark(values []int) string {
	steps := []rune(" ▁▂▃▄▅▆▇█")
	most := 0
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range values {
		step := 0
		if v > 0 {
			step = max(v*(len(steps)-1)/most, 1)
		}
		b.WriteRune(steps[step])
	}
	return b.String()
}

func blocks(is, of float64, width int) string {
	full := 0
	if of > 0 {
		full = int(float64(width)*min(max(is/of, 0), 1) + 0.5)
	}
	return strings.Repeat("█", full) + strings.Repeat("·", width-full)
}

func cut(s string, width int) string {
	if width <= 1 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
