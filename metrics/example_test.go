package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"roamproxy/metrics"
)

// recorder is a metrics.Recorder that keeps nothing. In roamproxy it is status.Recent.
type recorder struct{}

func (recorder) AddQuota(string)                                       {}
func (recorder) Answered(metrics.Answer, string, string, bool)         {}
func (recorder) Waited(string, string, metrics.Outcome, time.Duration) {}
func (recorder) Throttled(string)                                      {}
func (recorder) PauseBegan(string)                                     {}
func (recorder) PauseEnded(string)                                     {}

// A tool was refused once because the queue was full.
func Example() {
	m := metrics.New(metrics.Options{
		Recorder: recorder{},
		Reasons:  []metrics.Reason{{Code: "queue_full", Text: "the queue is full (max_queue)", Refusal: true, Limit: true}},
	})
	m.Tool("bot")
	m.Answered(metrics.Answer{Tool: "bot", Method: "POST", Route: "/v1/chat.post", Code: 429, Reason: "queue_full", Cache: metrics.Bypass})

	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "roamproxy_refused_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// roamproxy_refused_total{reason="queue_full",tool="bot"} 1
}

// Readiness fails while a check returns an error.
func ExampleHealth() {
	var h metrics.Health
	h.Check("credential org", func() error { return fmt.Errorf("Roam refused it") })
	h.Note("webhooks", func() string { return "none has arrived yet" })
	for _, r := range h.Results() {
		fmt.Printf("%s: ok=%v %s%s\n", r.Name, r.OK, r.Problem, r.Note)
	}
	// Output:
	// credential org: ok=false Roam refused it
	// webhooks: ok=true none has arrived yet
}
