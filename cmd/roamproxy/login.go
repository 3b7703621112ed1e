package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/limiter/statefile"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
)

type loginCmd struct {
	Credential string   `arg:"" help:"Name of the credential, as in the configuration."`
	Config     string   `help:"Configuration file." placeholder:"FILE"`
	Scope      []string `help:"A scope to request, where the OAuth app requires that; may be repeated." placeholder:"SCOPE"`
	Listen     string   `help:"Where the browser returns to." default:"127.0.0.1:0" placeholder:"ADDR"`
}

// loginTime is how long the user has to agree.
const loginTime = 10 * time.Minute

// Run prints the page to open, and waits until the browser returns. A user whose browser is on another machine pastes the address at
// which it ended. The tokens are stored in state_dir only.
func (l loginCmd) Run(p *program) error {
	loaded, err := config.LoadWithoutFiles(l.Config, p.getenv, nil) // only the service may be able to read those of other credentials
	if err != nil {
		return err
	}
	c := loaded.Config
	i := slices.IndexFunc(c.Credentials, func(k config.Credential) bool { return k.Name == l.Credential && k.OAuth.IsSet() })
	if i < 0 {
		return fmt.Errorf("there is no credential %q with oauth in the configuration", l.Credential)
	}
	state, err := statefile.Open(c.StateDir)
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	listener, err := net.Listen("tcp", l.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if !config.IsLoopback(listener.Addr().String()) {
		return fmt.Errorf("%s can be reached from other machines; use 127.0.0.1", l.Listen)
	}
	base, err := proxy.NewTransport(proxy.TransportOptions{MaxInFlight: 1, CAFile: c.Upstream.CAFile})
	if err != nil {
		return err
	}
	defer base.CloseIdleConnections()
	ctx, cancel := context.WithTimeoutCause(p.ctx, loginTime, fmt.Errorf("the login was not completed within %v", loginTime))
	defer cancel()
	k := c.Credentials[i]
	login, err := credential.NewLogin(ctx, credential.LoginOptions{
		OAuthOptions: server.OAuthOptions(k, state, base), AuthorizeURL: k.OAuth.AuthorizeURL(), Scopes: l.Scope,
		RedirectURL: "http://" + listener.Addr().String() + "/callback",
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "Open this page and agree:\n\n    %s\n\nWith a browser on another machine, paste the address at which it ends, "+
		"even if it shows an error:\n", login.URL())
	if err := (&callback{login: login, finished: make(chan error, 1)}).wait(ctx, listener, p); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "The credential %s is stored in %s. A running roamproxy uses it within half a minute.\n", k.Name, c.StateDir)
	return nil
}

// callback completes a login with the first valid answer, from the browser or from the keyboard.
type callback struct {
	login    *credential.Login
	finished chan error

	mu   sync.Mutex // guards done; held while an answer is used, so that only one is
	done bool
}

func (c *callback) wait(ctx context.Context, l net.Listener, p *program) error {
	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go server.Serve(l)
	defer server.Close()
	go c.read(ctx, p)
	select {
	case err := <-c.finished:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		server.Shutdown(ctx) // the browser gets its answer first
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ServeHTTP answers the browser. A page with a wrong state cannot complete the login.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet || r.URL.Path != "/callback" {
		http.NotFound(w, r)
		return
	}
	switch err := c.finish(r.Context(), r.URL.Query()); {
	case errors.Is(err, credential.ErrState):
		http.Error(w, "This page does not belong to the current login.", http.StatusBadRequest)
	case err != nil:
		http.Error(w, "The login failed; the terminal shows why.", http.StatusBadGateway)
	default:
		fmt.Fprintln(w, "Done. You can close this page.")
	}
}

func (c *callback) finish(ctx context.Context, answer url.Values) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil
	}
	err := c.login.Finish(context.WithoutCancel(ctx), answer)
	if !errors.Is(err, credential.ErrState) {
		c.done = true
		c.finished <- err
	}
	return err
}

// read handles pasted addresses, one a line.
func (c *callback) read(ctx context.Context, p *program) {
	lines := bufio.NewScanner(p.in)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err == nil {
			err = c.finish(ctx, u.Query())
		}
		if err == nil || !errors.Is(err, credential.ErrState) && u != nil {
			return
		}
		fmt.Fprintln(p.out, "That is not the address: it begins with http://127.0.0.1 and contains code= and state=.")
	}
}
