package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

type healthCmd struct {
	URL string `help:"Where to ask." default:"http://127.0.0.1:9090/healthz" placeholder:"URL"`
}

// healthWait is well within the timeout that container engines give a health check.
const healthWait = 3 * time.Second

// Run asks once. It goes straight there, whatever HTTP_PROXY says.
func (h healthCmd) Run(p *program) error {
	ctx, cancel := context.WithTimeout(p.ctx, healthWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return err
	}
	direct := &http.Transport{}
	defer direct.CloseIdleConnections()
	res, err := direct.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %s", h.URL, res.Status)
	}
	fmt.Fprintln(p.out, "healthy")
	return nil
}
