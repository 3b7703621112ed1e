package status_test

import (
	"fmt"
	"time"

	"roamproxy/metrics"
	"roamproxy/metrics/status"
)

// An operator asks why a call waited, with the X-Request-Id of its answer.
func ExampleMonitor_Explain() {
	recent := status.NewRecent()
	m := metrics.New(metrics.Options{Recorder: recent})
	quota := m.Quota("roam", []string{"bot", "report"})
	monitor := status.New(m, recent)

	for range 3 {
		quota.Waited("report", metrics.Sent, 0)
	}
	quota.Waited("bot", metrics.Sent, 2*time.Second)
	m.Answered(metrics.Answer{
		ID: "call-1", Tool: "bot", Method: "POST", Route: "/v1/chat.post", Quota: "roam", Code: 200, Cache: metrics.Bypass,
		Attempts: 1, Queue: 2 * time.Second, Upstream: 300 * time.Millisecond, Duration: 2300 * time.Millisecond,
	})
	explanation, found := monitor.Explain("call-1")
	fmt.Println(found)
	for _, sentence := range explanation.Text {
		fmt.Println(sentence)
	}
	// Output:
	// true
	// It was in the queue of quota roam for 2.0 s.
	// Calls that were sent meanwhile: 3 of report.
	// Roam took 0.30 s to answer.
}

func ExampleMonitor_Status() {
	recent := status.NewRecent()
	m := metrics.New(metrics.Options{Recorder: recent})
	m.Quota("roam", nil)
	m.QuotaState("roam", func() metrics.QuotaState {
		return metrics.QuotaState{Tokens: 10, Burst: 10, Rate: 1, Paused: true, PausedFor: 5 * time.Second}
	})
	summary := status.New(m, recent).Status(false).Summary
	fmt.Println(summary.Level)
	fmt.Println(summary.Text)
	// Output:
	// warn
	// Roam answered 429 on quota roam: nothing is sent until its pause is over.
}
