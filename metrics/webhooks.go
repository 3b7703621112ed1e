package metrics

import "time"

// WebhookResults returns every result of a delivery, in the words of package proxy/webhook. A test of the server holds them together.
func WebhookResults() []string {
	return []string{"accepted", "failed", "repeated", "challenged", "forged", "outdated", "malformed", "not_found"}
}

// Webhook counts a delivery of Roam's. forwarded is how long the receivers took.
func (m *Metrics) Webhook(result string, forwarded time.Duration) {
	m.webhooks.WithLabelValues(known(result, WebhookResults())).Inc()
	if result == "accepted" || result == "failed" {
		m.webhookForward.Observe(forwarded.Seconds())
		m.webhookLast.SetToCurrentTime()
	}
}
