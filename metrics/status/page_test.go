package status

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"roamproxy/metrics"
)

// openAdmin returns the pages of a monitor, without a token.
func openAdmin(m *Monitor) http.Handler {
	return m.Admin(func(next http.Handler) http.Handler { return next })
}

func admin(t *testing.T, m *Monitor) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(openAdmin(m))
	s.Config.ReadTimeout, s.Config.WriteTimeout = time.Second/2, time.Second/2 // events outlast both
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestSummaryNamesTheWorstProblem(t *testing.T) {
	_, counted := newMonitor()
	now := time.Now()
	refused := Status{Refusals: []Refusals{{Tool: "bot", Reason: "queue_full", Latest: now.Add(-time.Second)}}}
	budget := Status{Refusals: []Refusals{{Tool: "bot", Reason: "budget", Latest: now.Add(-time.Second)}}}
	waits := Status{Quotas: []QuotaStatus{{Name: "roam", Waiting: 1, Oldest: 2, Queue: []Share{{"bot", 1}}}}}
	most := []Share{{"exporter", 8}, {"bot", 1}}
	long := Status{Quotas: []QuotaStatus{{Name: "roam", Waiting: 9, Oldest: 10, Queue: most}}, Refusals: refused.Refusals}
	paused := Status{Quotas: []QuotaStatus{{Name: "roam", Paused: true, Waiting: 9, Oldest: 10}}}
	red := Status{Quotas: paused.Quotas, Checks: []metrics.CheckResult{
		{Name: "state", OK: true}, {Name: "credential org", Problem: "Roam answered 401 to it"},
	}}
	stopping := Status{Checks: []metrics.CheckResult{{Name: metrics.Stopping, Problem: "stopping"}, {Name: "state", OK: true}}}
	share := Status{Quotas: []QuotaStatus{{Name: "roam", Shared: true, Waiting: 9, Oldest: 10, Queue: most}}}
	together := Status{Quotas: []QuotaStatus{{Name: "roam", Shared: true, Replicas: 2}}}
	slots := Status{Quotas: []QuotaStatus{{Name: "roam", Tokens: 3, InFlight: 10, MaxFlight: 10, Waiting: 9, Oldest: 10, Queue: most}}}
	even := Status{Quotas: []QuotaStatus{
		{Name: "roam", Waiting: 9, Oldest: 10, Queue: []Share{{"exporter", 4}, {"bot", 3}, {"dashboard", 2}}},
	}}
	alone := Status{Quotas: []QuotaStatus{{Name: "roam", Waiting: 1, Oldest: 10, Queue: []Share{{"bot", 1}}}}}
	old := waits
	for _, tt := range []struct {
		name        string
		s           Status
		reloaded    bool
		level, want string
	}{
		{"nothing happens", Status{}, true, Good, "All is well"},
		{"calls wait", waits, true, Good, "none of them for long"},
		{"a call was refused", refused, true, Warn, "Calls of bot are refused: the queue is full"},
		{"a call was refused long ago", Status{Refusals: []Refusals{{Latest: now.Add(-time.Hour)}}}, true, Good, "All is well"},
		{"calls wait long", long, true, Warn, "Most of the queued calls are from exporter"},
		{"the budget of a tool is used up, as configured", budget, true, Good, "All is well"},
		{"all slots are in use, which the tool with most of the queue does not cause", slots, true, Warn, "Roam still works on as many"},
		{"no tool has most of the queue", even, true, Warn, "ask for more than it has"},
		{"a single queued call is no flood", alone, true, Warn, "ask for more than it has"},
		{"Redis is away", share, true, Warn, "Redis is unreachable"},
		{"replicas share", together, true, Good, "All is well"},
		{"a reload failed", old, false, Warn, "The last reload failed"},
		{"a pause", paused, false, Warn, "Roam answered 429"},
		{"roamproxy stops", stopping, true, Warn, "roamproxy is stopping"},
		{"a credential is refused", red, false, Bad, "Calls cannot succeed: Roam answered 401 to it."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.Now, tt.s.Reloaded = now, tt.reloaded
			v := summarize(tt.s, counted.Reason)
			if v.Level != tt.level || !strings.Contains(v.Text, tt.want) || (v.Do == "") != (v.Level == Good) {
				t.Errorf("got %+v, want %s with %q, and what to do unless all is good", v, tt.level, tt.want)
			}
		})
	}
}

func TestChartOfTenMinutes(t *testing.T) {
	const now = 1_000_003 // the last bar begins at 1_000_000, the first 595 s before
	second := func(ago int64, s Sample) Sample { s.At = now - ago; return s }
	p := draw([]Sample{
		second(700, Sample{Sent: 99, Waiting: 99}), // too old
		second(598, Sample{Sent: 2}),
		second(597, Sample{Sent: 2}),
		second(100, Sample{Throttled: 1, Refused: 3, Paused: true}),
		second(99, Sample{Paused: true, Waiting: 7}),
		second(50, Sample{Paused: true}),
		second(3, Sample{Sent: 8}), second(0, Sample{Sent: 8, Waiting: 1}),
	}, now)
	quarter, whole := bar{0, fieldHeight - maxBar/4, 4, maxBar / 4}, bar{595, fieldHeight - maxBar, 4, maxBar}
	if !slices.Equal(p.Sent, []bar{quarter, whole}) || p.MostSent != 16 {
		t.Errorf("sent %+v with %d at most, want a bar of a quarter at 0 and one of 16 at 595", p.Sent, p.MostSent)
	}
	if len(p.Paused) != 2 || p.Paused[0] != (bar{498, 0, 2, fieldHeight}) || len(p.Throttled) != 1 || p.Throttled[0].X != 498 {
		t.Errorf("paused %+v, 429 %+v, want two seconds at 498 that begin with a 429, and another", p.Paused, p.Throttled)
	}
	if len(p.Refused) != 1 || p.Refused[0] != (bar{495, fieldHeight - maxBar, 4, maxBar}) || p.MostRefused != 3 {
		t.Errorf("refused %+v with %d at most, want one bar of 3 at 495", p.Refused, p.MostRefused)
	}
	want := "The last ten minutes: 20 calls sent, at most 7 waiting at once, 3 refused by roamproxy, " +
		"1 answered 429 by Roam, paused for 3 seconds."
	if p.Summary != want {
		t.Errorf("in words: %q, want %q", p.Summary, want)
	}
}

// The page escapes every text that a tool chooses.
func TestPageEscapesWhatToolsSay(t *testing.T) {
	m, counted, _ := newQuotaMonitor()
	const evil = `"><script>alert(1)</script>`
	counted.Answered(metrics.Answer{ID: "x", Tool: "bot", Method: "GET", Route: evil, Code: 429, Reason: "queue_full"})
	for _, path := range []string{"/?call=x", "/?call=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"} {
		t.Run(path, func(t *testing.T) {
			w := httptest.NewRecorder()
			openAdmin(m).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if w.Code != 200 || strings.Contains(w.Body.String(), "<script>alert") || !strings.Contains(w.Body.String(), "&lt;script&gt;alert") {
				t.Errorf("%d, want 200 and the script escaped in\n%s", w.Code, w.Body)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("policy %q, want default-src 'none' and nothing unsafe", csp)
			}
		})
	}
}

func TestPageShowsTheReplicasOfAQuota(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state metrics.QuotaState
		want  string // "" for nothing of replicas
	}{
		{"one process", metrics.QuotaState{}, ""},
		{"three replicas", metrics.QuotaState{Shared: true, Replicas: 3}, "<dt>replicas share it</dt><dd>3</dd>"},
		{"Redis is away", metrics.QuotaState{Shared: true}, "<dt>replicas share it</dt><dd>alone</dd>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, counted := newMonitor()
			counted.Quota("roam", nil)
			counted.QuotaState("roam", func() metrics.QuotaState { return tt.state })
			w := httptest.NewRecorder()
			openAdmin(m).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, tt.want) || tt.want == "" && strings.Contains(body, "replicas") {
				t.Errorf("%d, want %q in\n%s", w.Code, tt.want, body)
			}
		})
	}
}

func TestEventsAreSentUntilTheBrowserLeaves(t *testing.T) {
	m, counted, q := newQuotaMonitor()
	s := admin(t, m)
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/events", nil)
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	q.PauseBegan(0)
	counted.QuotaState("roam", func() metrics.QuotaState { return metrics.QuotaState{Paused: true} })
	lines := bufio.NewScanner(res.Body)
	events, paused := 0, false
	for events < 3 && lines.Scan() {
		if lines.Text() == "" {
			events++
		} else if !strings.HasPrefix(lines.Text(), "data: ") {
			t.Errorf("a line of an event is %q, want it to begin with data:", lines.Text())
		}
		paused = paused || strings.Contains(lines.Text(), "nothing is sent until its pause is over")
	}
	if kind := res.Header.Get("Content-Type"); !paused || events < 3 || kind != "text/event-stream" {
		t.Errorf("%d events of %s came, and the pause showed: %v; want 3 and true (%v)", events, kind, paused, lines.Err())
	}
	leave()
}

func TestViewersAreBounded(t *testing.T) {
	m, _, _ := newQuotaMonitor()
	s := admin(t, m)
	for i := range maxViewers + 1 {
		res, err := s.Client().Get(s.URL + "/api/events")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if want := map[bool]int{true: 200, false: 503}[i < maxViewers]; res.StatusCode != want {
			t.Errorf("viewer %d: %d, want %d", i+1, res.StatusCode, want)
		}
	}
}

func TestTheTokenProtectsAllButMetricsAndHealth(t *testing.T) {
	m, _, _ := newQuotaMonitor()
	shut := m.Admin(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	})
	for path, want := range map[string]int{
		"/": 401, "/api/status": 401, "/api/events": 401, "/api/calls/x": 401, "/script.js": 401, "/style.css": 401,
		"/metrics": 200, "/healthz": 200, "/readyz": 200,
	} {
		t.Run(path, func(t *testing.T) {
			w := httptest.NewRecorder()
			if shut.ServeHTTP(w, httptest.NewRequest("GET", path, nil)); w.Code != want {
				t.Errorf("without the token: %d, want %d", w.Code, want)
			}
		})
	}
}

func TestStatusDecodesFromItsJSON(t *testing.T) {
	m, _, q := newQuotaMonitor("bot")
	q.Waited("bot", metrics.Sent, time.Second)
	s := admin(t, m)
	res, err := s.Client().Get(s.URL + "/api/status?history")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got Status
	d := json.NewDecoder(res.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if tool := got.Tools[0]; tool.Name != "bot" || tool.Sent != 1 || tool.Mean != 1 || got.Summary.Level != Good {
		t.Errorf("got %+v, want one call of bot after 1 s", got)
	}
}

func BenchmarkPage(b *testing.B) {
	m, _, q := newQuotaMonitor("bot")
	for range maxSamples {
		q.Waited("bot", metrics.Sent, 0)
		m.sample()
	}
	p := newPage(m)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.render(nullWriter{}, "main", ""); err != nil {
			b.Fatal(err)
		}
	}
}

type nullWriter struct{}

func (nullWriter) Write(p []byte) (int, error) { return len(p), nil }

func TestThePageShowsWebhooks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(*metrics.Metrics)
		want    string
	}{
		{"there is no listener", func(*metrics.Metrics) {}, ""},
		{"none has arrived", func(m *metrics.Metrics) { m.WebhooksOn() }, "none has arrived yet."},
		{"some have", func(m *metrics.Metrics) {
			m.WebhooksOn()
			m.Webhook(metrics.WebhookAccepted, time.Second)
			m.Webhook(metrics.WebhookAccepted, time.Second)
			m.Webhook(metrics.WebhookFailed, time.Second)
			m.Webhook(metrics.WebhookForged, 0)
		}, "2 forwarded, 1 not accepted by a receiver, 1 refused as not genuine."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			monitor, m := newMonitor()
			tt.arrange(m)
			res, err := http.Get(admin(t, monitor).URL + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			page, _ := io.ReadAll(res.Body)
			if got := strings.Contains(string(page), "webhooks:"); got != (tt.want != "") || !strings.Contains(string(page), tt.want) {
				t.Errorf("the page lacks %q, or says too much:\n%s", tt.want, page)
			}
		})
	}
}
