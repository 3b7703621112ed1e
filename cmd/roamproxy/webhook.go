package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// webhookCmd manages subscriptions to Roam's webhooks, with the credential and the queue of the running roamproxy.
type webhookCmd struct {
	Subscribe subscribeCmd `cmd:"" help:"Make Roam report changes to a URL."`
	List      listCmd      `cmd:"" help:"List the subscriptions."`
	Remove    removeCmd    `cmd:"" help:"Remove a subscription."`
}

type subscribeCmd struct {
	adminFlags
	To     string   `arg:"" name:"url" help:"Where Roam reaches webhooks.listen, such as https://hooks.example.com/roam."`
	Events []string `arg:"" optional:"" help:"Events; default: all that invalidate cached answers."`
}

// cachedEvents returns the events of v1 that invalidate cached answers.
func cachedEvents() []string {
	return []string{
		"chat.message", "chat.reaction", "lobby.booked", "magicast.created", "meeting.started", "meeting.ended", "onair.event.created",
		"onair.event.updated", "onair.event.canceled", "onair.guest.rsvp", "onair.guest.added", "token.revoked", "app.uninstalled",
	}
}

// Run subscribes to each event, with one call each, and prints the lines for the configuration.
func (c subscribeCmd) Run(p *program) error {
	to, err := url.Parse(c.To)
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return fmt.Errorf("want a URL such as https://hooks.example.com/roam, not %q", c.To)
	}
	events := c.Events
	if len(events) == 0 {
		events = cachedEvents()
	}
	for i, event := range events {
		if _, err := c.webhooks(p, http.MethodPost, url.Values{"url": {c.To}, "event": {event}}); err != nil {
			return fmt.Errorf("%d of %d events subscribed; %s: %w", i, len(events), event, err)
		}
		fmt.Fprintf(p.out, "subscribed: %s\n", event)
	}
	path := to.Path
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(p.out, `
Add to the configuration, with the signing secret of Roam Administration > Developer > API Client in the file:

webhooks:
  listen: 127.0.0.1:8090      # what %s forwards to
  path: %s
  secret_file: /etc/roamproxy/webhook-secret
  # forward: [http://127.0.0.1:3000/hook]
`, to.Host, path)
	return nil
}

type listCmd struct {
	adminFlags
}

// Run prints a line for each subscription.
func (c listCmd) Run(p *program) error {
	body, err := c.webhooks(p, http.MethodGet, nil)
	if err != nil {
		return err
	}
	var list struct {
		Webhooks []struct{ ID, Event, URL string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("the answer of Roam is not a list of webhooks: %w", err)
	}
	for _, w := range list.Webhooks {
		fmt.Fprintf(p.out, "%-36s  %-22s  %s\n", w.ID, w.Event, w.URL)
	}
	if len(list.Webhooks) == 0 {
		fmt.Fprintln(p.out, "no subscriptions")
	}
	return nil
}

type removeCmd struct {
	adminFlags
	ID string `arg:"" help:"The id that list shows."`
}

// Run removes a subscription.
func (c removeCmd) Run(p *program) error {
	if _, err := c.webhooks(p, http.MethodPost, url.Values{"remove": {c.ID}}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "removed: %s\n", c.ID)
	return nil
}

// webhooks sends a request about subscriptions, and returns Roam's answer.
func (f adminFlags) webhooks(p *program, method string, query url.Values) ([]byte, error) {
	c, err := f.client(p)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	code, body, err := c.Do(p.ctx, method, "/api/webhooks?"+query.Encode())
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("%s", strings.TrimSpace(string(body)))
	}
	return body, nil
}
