package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"roamproxy/metrics/status"
)

// topPicture is the status page for a terminal of this width.
func topPicture(s status.Status, width int) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(cut(strings.TrimRight(plain(fmt.Sprintf(format, args...)), " "), width) + "\n")
	}
	line("roamproxy %s   %s UTC", s.Version, s.Now.UTC().Format(time.TimeOnly))
	line("%s %s", s.Summary.Text, s.Summary.Do)
	for _, q := range s.Quotas {
		state := "flows"
		if q.Paused {
			state = fmt.Sprintf("PAUSED, next try in %.0f s", q.PausedFor)
		}
		line("")
		line("quota %s   %s", q.Name, state)
		line("  tokens   %s %.1f of %.3g, %.3g a second", blocks(q.Tokens, q.Burst, 20), q.Tokens, q.Burst, q.Rate)
		line("  line     %d waiting, the oldest for %.1f s; %d with Roam", q.Waiting, q.Oldest, q.InFlight)
		if q.Shared && q.Replicas == 0 {
			line("  Redis is away: this replica goes on alone, at its share of the rate")
		} else if q.Shared {
			line("  shared by %d replicas", q.Replicas)
		}
		sent, waiting, most := columns(q.History, s.Now.Unix())
		line("  sent     %s %d in ten minutes", spark(sent), total(sent))
		line("  waiting  %s at most %d", spark(waiting), most)
		for _, w := range q.Queue {
			line("    %-20s %s %d", w.Tool, blocks(float64(w.N), float64(q.Waiting), 20), w.N)
		}
	}
	line("")
	line("%-20s %6s %6s %8s %7s %7s %8s %8s %8s %7s", "TOOL, LAST 10 MIN", "SHARE", "WAITS", "REQUESTS", "SENT", "SAVED", "MEAN", "LONGEST", "REFUSED", "FAILED")
	for _, t := range s.Tools {
		line("%-20s %4.0f %% %6d %8d %7d %7d %6.1f s %6.1f s %8d %7d", t.Name, 100*t.Share, t.Waiting, t.Calls, t.Sent, t.Saved, t.Mean, t.Longest, t.Refused, t.Failed)
	}
	line("")
	line("%-34s %8s %8s %6s %6s %6s %6s %6s", "ROUTE, LAST 10 MIN", "SAVED", "REQUESTS", "HIT", "SHARED", "STALE", "MISS", "BYPASS")
	for _, r := range s.Cache.Routes[:min(len(s.Cache.Routes), 10)] {
		line("%-34s %8d %8d %6d %6d %6d %6d %6d", r.Route, r.Saved, r.Calls, r.Hit, r.Shared, r.Stale, r.Miss, r.Bypass)
	}
	if len(s.Refusals) > 0 {
		line("")
		line("LAST REFUSALS")
		for _, c := range s.Refusals[:min(len(s.Refusals), 5)] {
			line("%s  %-20s %d %-16s %s %s  %s", c.Arrived.UTC().Format(time.TimeOnly), c.Tool, c.Status, c.Reason, c.Method, c.Route, c.ID)
		}
	}
	for _, c := range s.Checks {
		if !c.OK {
			line("RED  %s: %s", c.Name, c.Problem)
		}
	}
	return b.String()
}

// columns are ten minutes in sixty.
func columns(history []status.Sample, now int64) (sent, waiting []int, most int) {
	const n, seconds = 60, 10
	sent, waiting = make([]int, n), make([]int, n)
	first := now - now%seconds - (n-1)*seconds
	for _, h := range history {
		if i := (h.At - first) / seconds; h.At >= first && i < n {
			sent[i] += h.Sent
			waiting[i] = max(waiting[i], h.Waiting)
			most = max(most, h.Waiting)
		}
	}
	return sent, waiting, most
}

func total(values []int) (all int) {
	for _, v := range values {
		all += v
	}
	return all
}

// spark is a line of columns; what is not nothing shows.
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

// plain takes out what would move a terminal's cursor.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func cut(s string, width int) string {
	if width <= 1 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
