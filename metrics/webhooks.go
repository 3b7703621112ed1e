package metrics

import (
	"sync"
	"time"
)

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
func (m *Metrics) Webhook(result WebhookResult, forwarded time.Duration) {
	m.webhooks.WithLabelValues(labelOf(result, WebhookResults())).Inc()
	m.webhookState.change(func(w *WebhookState) {
		switch result {
		case WebhookAccepted:
			w.Last = time.Now()
			w.Accepted++
		case WebhookFailed:
			w.Last = time.Now()
			w.Failed++
		case WebhookForged, WebhookOutdated, WebhookMalformed:
			w.Refused++
		}
	})
	if result == WebhookAccepted || result == WebhookFailed {
		m.webhookForward.Observe(forwarded.Seconds())
		m.webhookLast.SetToCurrentTime()
	}
}
