package roamtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// WebhookSecret signs the webhooks of a simulated Roam (Standard Webhooks), unless Options names another.
const WebhookSecret = "whsec_cm9hbXRlc3Qtd2ViaG9vay1zZWNyZXQtb2YtMzItYg=="

// webhookTimeout is how long Roam waits for a receiver. It does not repeat a delivery.
const webhookTimeout = 3 * time.Second

func (r *Roam) webhookMethods() map[string]route {
	return map[string]route{
		"webhook.subscribe":   post(r.webhookSubscribe),
		"webhook.unsubscribe": post(r.webhookUnsubscribe),
		"webhook.list":        get(func(*request) (int, any) { return http.StatusOK, object{"webhooks": r.data.subscriptions} }),
		"webhook.deliveries":  get(r.webhookDeliveries),
	}
}

// webhookSubscribe creates a subscription, or updates the filter of the one for the same event and URL.
func (r *Roam) webhookSubscribe(in *request) (int, any) {
	to, err := url.Parse(in.text("url"))
	switch {
	case in.text("event") == "":
		return missing("event")
	case err != nil || to.Host == "" || !isLoopback(to.Hostname()):
		return http.StatusBadRequest, problem{"invalid_url", "The simulator delivers to loopback addresses only."}
	}
	for _, s := range r.data.subscriptions {
		if s.text("event") == in.text("event") && s.text("url") == in.text("url") {
			return http.StatusOK, s.with(in.copied("filter"))
		}
	}
	s := in.copied("event", "url", "filter").with(object{"id": id("webhook", r.data.created)})
	if !in.v1 {
		r.bare[s.text("id")] = true
	}
	r.data.created++
	r.data.subscriptions = append(r.data.subscriptions, s)
	return http.StatusOK, s
}

func isLoopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

func (r *Roam) webhookUnsubscribe(in *request) (int, any) {
	if !r.data.subscriptions.remove(in.text("id")) {
		return notFound("webhook")
	}
	return http.StatusNoContent, nil
}

// webhookDeliveries lists the failed attempts, as Roam does.
func (r *Roam) webhookDeliveries(in *request) (int, any) {
	return page(r, in, "deliveries", r.failedDeliveries, 10, 100)
}

// delivery is one event on its way to one subscriber.
type delivery struct {
	id, event, url string
	body           []byte
}

// report queues a webhook for each subscription to the event. v0 has other names for the same events, and sends the object without the name
// of the event. The lock is held.
func (r *Roam) report(event string, fields object) {
	for _, s := range r.data.subscriptions {
		if !matches(s.text("event"), event) {
			continue
		}
		r.delivered++
		d := delivery{id: "msg_" + id("delivery", r.delivered), event: s.text("event"), url: s.text("url")}
		shown := object{}.with(fields)
		if r.bare[s.text("id")] {
			delete(shown, "chatId")
			if event == "chat.message" {
				shown.with(object{"type": "message", "contentType": "text"})
			}
		} else {
			shown = object{"type": d.event, "timestamp": stamp(time.Now()), "data": shown}
		}
		d.body, _ = json.Marshal(shown)
		r.outbox = append(r.outbox, d)
	}
}

// matches reports whether a subscription gets an event. v0 has a name for messages of each kind of chat.
func matches(subscribed, event string) bool {
	switch subscribed {
	case "chat.message.dm", "chat.message.channel":
		return event == "chat.message"
	case "chat.message.reaction":
		return event == "chat.reaction"
	}
	return subscribed == event
}

// deliver sends all queued webhooks once, at the same time. The lock is not held.
func (r *Roam) deliver() {
	r.mu.Lock()
	outbox := r.outbox
	r.outbox = nil
	r.mu.Unlock()
	for _, d := range outbox {
		r.deliveries.Go(func() {
			if err := r.send(d); err != nil {
				r.mu.Lock()
				r.failedDeliveries = append(r.failedDeliveries, object{"id": d.id, "event": d.event, "url": d.url, "error": err.Error()})
				r.mu.Unlock()
			}
		})
	}
}

func (r *Roam) send(d delivery) error {
	signer, err := standardwebhooks.NewWebhook(r.options.WebhookSecret)
	if err != nil {
		return err
	}
	now := time.Now()
	signature, err := signer.Sign(d.id, now, d.body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", d.id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	res, err := r.options.WebhookTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("answered %s", res.Status)
	}
	return nil
}

// WaitDeliveries waits until every queued webhook was delivered or has failed.
func (r *Roam) WaitDeliveries() { r.deliveries.Wait() }
