package status

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"time"
)

//go:embed page
var pageFiles embed.FS

// page serves the status page. The same template renders the whole page, which works without the script, and the events, with which the
// script updates the page.
type page struct {
	monitor  *Monitor
	template *template.Template
	viewers  chan struct{} // one element for each open event stream
}

// maxViewers bounds the pages that are updated at once. Each costs about a millisecond of CPU a second.
const maxViewers = 32

func newPage(m *Monitor) *page {
	t := template.Must(template.New("").Funcs(template.FuncMap{
		"seconds": shortSeconds, "percent": func(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) }, "size": size,
		"clock":   func(t time.Time) string { return t.UTC().Format(time.TimeOnly) },
		"date":    func(t time.Time) string { return t.UTC().Format("2 January 15:04") },
		"unknown": func() string { return unknownCall }, "dash": dash,
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"draw":  func(q QuotaStatus, s Status) chart { return draw(q.History, s.Now.Unix()) }, "part": percentOf,
		"reason": func(code string) string { return m.metrics.Reason(code).Text },
		"pair":   func(q QuotaStatus, s Status) quotaView { return quotaView{q, s} },
	}).ParseFS(pageFiles, "page/*.html"))
	return &page{monitor: m, template: t, viewers: make(chan struct{}, maxViewers)}
}

// view is the data of the templates.
type view struct {
	Status
	ID          string // id of the call to explain; "": none
	Explanation Explanation
	Found       bool
}

// Budgets returns the tools that have a daily budget.
func (v view) Budgets() (all []ToolStatus) {
	for _, t := range v.Tools {
		if t.PerDay > 0 {
			all = append(all, t)
		}
	}
	return all
}

// quotaView is one quota of a view.
type quotaView struct {
	Quota  QuotaStatus
	Status Status
}

func (p *page) render(w io.Writer, name, id string) error {
	v := view{Status: p.monitor.Status(true), ID: truncate(id)}
	if id != "" {
		v.Explanation, v.Found = p.monitor.Explain(id)
	}
	return p.template.ExecuteTemplate(w, name, v)
}

// serve answers with the whole page.
func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	if err := p.render(&b, "page.html", r.URL.Query().Get("call")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	b.WriteTo(w)
}

// eventTimeout is how long a browser may take to read one event. A browser that sleeps takes longer, and reconnects later.
const eventTimeout = 10 * time.Second

// serveEvents sends the main part of the page once a second, until the browser disconnects.
func (p *page) serveEvents(w http.ResponseWriter, r *http.Request) {
	select {
	case p.viewers <- struct{}{}:
		defer func() { <-p.viewers }()
	default:
		http.Error(w, "Too many pages are open; close one.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // without it, nginx buffers the events
	controller := http.NewResponseController(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var b bytes.Buffer
		if err := p.render(&b, "main", r.URL.Query().Get("call")); err != nil {
			return
		}
		controller.SetWriteDeadline(time.Now().Add(eventTimeout))
		for line := range bytes.Lines(b.Bytes()) {
			fmt.Fprintf(w, "data: %s\n", bytes.TrimRight(line, "\n"))
		}
		fmt.Fprint(w, "\n")
		if controller.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// serveFile answers with a style sheet, script or icon of the page.
func (p *page) serveFile(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, "page"+r.URL.Path)
}

// dash returns a number as text, and a dash for zero.
func dash(n int) string {
	if n == 0 {
		return "–"
	}
	return strconv.Itoa(n)
}

func shortSeconds(s float64) string {
	switch {
	case s < 0.0005:
		return "0 s"
	case s < 1:
		return fmt.Sprintf("%.0f ms", 1000*s)
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.0f s", s)
}

func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// percentOf returns n as a percentage of a whole, at most 100.
func percentOf(n, of any) float64 {
	whole := toFloat(of)
	if whole <= 0 {
		return 0
	}
	return min(100*toFloat(n)/whole, 100)
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
