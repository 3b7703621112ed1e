package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
)

// connect asks Roam for the owner of each credential, and prints it beside the configuration. It sends calls as the proxy does, but
// without the queue, since roamproxy may not be running.
func connect(p *program, l *config.Loaded) error {
	upstream, err := url.Parse(l.Upstream.URL)
	if err != nil {
		return err
	}
	base, err := proxy.NewTransport(proxy.TransportOptions{MaxInFlight: 1, CAFile: l.Upstream.CAFile})
	if err != nil {
		return err
	}
	defer base.CloseIdleConnections()
	var wrong []error
	for _, k := range l.Credentials {
		if k.OAuth.IsSet() {
			fmt.Fprintf(p.out, "\ncredential %s is not tried: its refresh token works once, and the running roamproxy needs it; see its "+
				"/readyz\n", k.Name)
			continue
		}
		fmt.Fprintf(p.out, "\ncredential %s, by one call of token.info at %s\n", k.Name, l.Upstream.URL)
		rt := &credential.Transport{Next: base, Name: k.Name, Source: server.Source(k, nil, base), Scheme: upstream.Scheme, Host: upstream.Host}
		if err := askIdentity(p, l, rt, k); err != nil {
			wrong = append(wrong, fmt.Errorf("credential %s: %w", k.Name, err))
		}
	}
	return errors.Join(wrong...)
}

// infoSize bounds an answer of token.info in bytes: far more than Roam sends.
const infoSize = 64 << 10

func askIdentity(p *program, l *config.Loaded, rt http.RoundTripper, k config.Credential) error {
	ctx, cancel := context.WithTimeout(p.ctx, time.Duration(l.Upstream.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.Upstream.URL, "/")+"/v1/token.info", nil)
	if err != nil {
		return err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no connection to Roam: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, infoSize))
	if err != nil {
		return fmt.Errorf("the answer of Roam is incomplete: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return errors.New("answered 401 by Roam: the key is wrong or revoked; create a new one in Roam's administration")
	case http.StatusTooManyRequests:
		return fmt.Errorf("answered 429 by Roam: the key is valid, and its quota is used up now; try again in %s s",
			res.Header.Get("Retry-After"))
	default:
		return fmt.Errorf("answered %s by Roam: %.200q", res.Status, body)
	}
	var info struct {
		Addr   string
		Scopes []string
		Roam   struct{ ID, Name string }
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return fmt.Errorf("the answer to token.info is not Roam's; check upstream.url: %w", err)
	}
	fmt.Fprintf(p.out, "  workspace  %q (%q)\n  acts as    %q\n  scopes     %q\n", info.Roam.Name, info.Roam.ID, info.Addr, info.Scopes)
	q := l.Quotas[slices.IndexFunc(l.Quotas, func(q config.Quota) bool { return q.Name == k.Quota })]
	fmt.Fprintf(p.out, "  quota      %s: %v at once, then %v a second, as configured\n", q.Name, q.Burst, q.Rate)
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		if !strings.Contains(strings.ToLower(name), "ratelimit") {
			continue
		}
		fmt.Fprintf(p.out, "             Roam says %s: %q\n", name, res.Header.Get(name))
	}
	return nil
}
