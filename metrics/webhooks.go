package metrics

import (
	"sync"
	"time"
)

// WebhookResults returns every result of a delivery, in the words of package proxy/webhook. A test of package server compares them.
func WebhookResults() []string {
	return []string{"accepted", "failed", "repeated", "challenged", "forged", "outdated", "malformed", "not_found"}
}

// WebhookState counts the deliveries of Roam's webhooks since the start.
type WebhookState struct {
	On       bool      // there is a listener for webhooks
	Last     time.Time // arrival of the latest genuine one; zero: none has arrived
	Accepted int       // every receiver accepted them
	Failed   int       // a receiver did not accept them
	Refused  int       // not genuine
}

// webhookState is a WebhookState for use by many goroutines.
type webhookState struct {
	mu  sync.Mutex // guards now
	now WebhookState
}

func (w *webhookState) get() WebhookState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *webhookState) change(f func(*WebhookState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.now)
}

// WebhooksOn records that there is a listener for Roam's webhooks.
func (m *Metrics) WebhooksOn() { m.webhookState.change(func(w *WebhookState) { w.On = true }) }

// Webhook counts a delivery. forwarded is how long the receivers took.
func (m *Metrics) Webhook(result string, forwarded time.Duration) {
	m.webhooks.WithLabelValues(knownOr(result, WebhookResults())).Inc()
	m.webhookState.change(func(w *WebhookState) {
		switch result {
		case "accepted":
			w.Last = time.Now()
			w.Accepted++
		case "failed":
			w.Last = time.Now()
			w.Failed++
		case "forged", "outdated", "malformed":
			w.Refused++
		}
	})
	if result == "accepted" || result == "failed" {
		m.webhookForward.Observe(forwarded.Seconds())
		m.webhookLast.SetToCurrentTime()
	}
}
