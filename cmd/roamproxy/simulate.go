package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"roamproxy/proxy/roamtest"
)

type simulateCmd struct {
	Listen string  `help:"Address." default:"127.0.0.1:8081" placeholder:"ADDR"`
	Rate   float64 `help:"Calls a second." default:"1"`
	Burst  int     `help:"Calls at once." default:"10"`

	Lenient bool `help:"Answer methods that the simulator does not know with {\"ok\":true} instead of 404."`
}

// Run serves the simulated Roam until it is interrupted.
func (s simulateCmd) Run(p *program) error {
	if s.Rate <= 0 || s.Burst < 1 {
		return fmt.Errorf("want a rate above 0 and a burst of at least 1, not %v and %d", s.Rate, s.Burst)
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "simulated Roam on http://%s, %v calls a second after %d at once, API key %s\nOAuth: client app with the secret "+
		"app-secret, at /oauth/authorize and /oauth/token\nMCP: /mcp; webhooks are signed with %s\n",
		listener.Addr(), s.Rate, s.Burst, roamtest.DefaultKey, roamtest.WebhookSecret)
	roam := roamtest.New(roamtest.Options{Rate: s.Rate, Burst: s.Burst, Lenient: s.Lenient})
	oauth := roam.NewOAuth(roamtest.OAuthOptions{})
	both := func(w http.ResponseWriter, r *http.Request) { // not http.ServeMux, which would clean paths
		if strings.HasPrefix(r.URL.Path, "/oauth/") {
			oauth.ServeHTTP(w, r)
			return
		}
		roam.ServeHTTP(w, r)
	}
	server := &http.Server{Handler: http.HandlerFunc(both), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(p.ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
