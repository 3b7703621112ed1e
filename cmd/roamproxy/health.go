package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"roamproxy/cmd/roamproxy/server"
)

type healthCmd struct {
	adminFlags
}

// healthWait is shorter than the timeout that container engines give a health check.
const healthWait = 3 * time.Second

// Run exits without an error if the running roamproxy answers /healthz.
func (h healthCmd) Run(p *program) error {
	ctx, cancel := context.WithTimeout(p.ctx, healthWait)
	defer cancel()
	base, _, err := h.find(p)
	if err != nil {
		return err
	}
	c := &server.AdminClient{Base: strings.TrimSuffix(base, "/healthz")} // /healthz needs no token
	defer c.Close()
	code, _, err := c.Do(ctx, http.MethodGet, "/healthz")
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %d", c.Base, code)
	}
	fmt.Fprintln(p.out, "healthy")
	return nil
}
