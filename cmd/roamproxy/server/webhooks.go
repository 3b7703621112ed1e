package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy/webhook"
)

const (
	// webhookConnections bounds the connections of the webhook listener. Roam sends events one by one.
	webhookConnections = 100
	// webhookReadTime bounds the time to read a delivery. Roam gives up after 3 s.
	webhookReadTime = 5 * time.Second
	// maxSecretFile bounds the file with the signing secrets in bytes. There are at most two secrets.
	maxSecretFile = 4 << 10
)

// webhooks receives Roam's webhooks. The zero value receives none.
type webhooks struct {
	receiver atomic.Pointer[webhook.Receiver] // nil: webhooks are off
	trust    atomic.Int64                     // webhooks.trust, a time.Duration
	revoked  atomic.Pointer[string]           // the event that revoked a credential; nil: none since the last successful call
}

// ServeHTTP answers 404 when webhooks are off.
func (w *webhooks) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	if receiver := w.receiver.Load(); receiver != nil {
		receiver.ServeHTTP(answer, r)
		return
	}
	answer.WriteHeader(http.StatusNotFound)
}

// last returns the time of the latest genuine delivery; zero for none.
func (w *webhooks) last() time.Time {
	if receiver := w.receiver.Load(); receiver != nil {
		return receiver.Last()
	}
	return time.Time{}
}

// webhooksArrive reports whether a genuine delivery arrived within webhooks.trust, so that ttl_with_webhooks applies.
func (a *app) webhooksArrive() bool {
	last := a.webhooks.last()
	return !last.IsZero() && time.Since(last) < time.Duration(a.webhooks.trust.Load())
}

// newReceiver returns the receiver of a configuration; nil where webhooks are off.
func (a *app) newReceiver(c config.Webhooks) (*webhook.Receiver, error) {
	if c.Listen == "" {
		return nil, nil
	}
	o := webhook.Options{
		Path:       c.Path,
		Secrets:    func() ([]string, error) { return readSecrets(c.SecretFile) },
		Invalidate: func(e webhook.Event) { a.invalidate(e) },
		Transport:  &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: webhookReadTime},
		Observe:    a.observer.webhook,
	}
	for _, to := range c.Forward {
		u, err := url.Parse(to)
		if err != nil {
			return nil, errors.New("webhooks.forward: an address cannot be parsed")
		}
		o.Forward = append(o.Forward, u)
	}
	r, err := webhook.New(o)
	if err != nil {
		return nil, fmt.Errorf("webhooks.secret_file: %w", err)
	}
	return r, nil
}

// invalidate removes the entries that an event makes wrong, and remembers a revoked credential.
func (a *app) invalidate(e webhook.Event) {
	if e.Name == "token.revoked" || e.Name == "app.uninstalled" {
		a.log.Error("Roam reports that a credential was revoked", zap.String("event", e.Name))
		a.webhooks.revoked.Store(&e.Name)
	}
	a.current().proxy.InvalidateEvent(e.Name, e.Chat)
}

// credentialGone is a readiness check: it fails from token.revoked or app.uninstalled until a call succeeds.
func (w *webhooks) credentialGone() error {
	if event := w.revoked.Load(); event != nil {
		return fmt.Errorf("the webhook %s came, and no call has succeeded since; check the credential and reload", *event)
	}
	return nil
}

// readSecrets returns the non-empty lines of a file without white space around them. It is called for each delivery, so that a rotated
// secret applies at once.
func readSecrets(path string) (all []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			all = append(all, line)
		}
	}
	return all, nil
}
