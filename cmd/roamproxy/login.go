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
	Scope      []string `help:"A scope to ask for, where the OAuth app wants that; may be repeated." placeholder:"SCOPE"`
	Listen     string   `help:"Where the browser comes back to; its port may have to be one that the OAuth app names." default:"127.0.0.1:0" placeholder:"ADDR"`
}

// loginTime is how long the user may take to agree.
const loginTime = 10 * time.Minute

// Run shows a page to open and waits for the browser to come back, or, where that runs on another machine, for the address at
// which it ended to be pasted. What it obtains goes to state_dir and nowhere else.
func (l loginCmd) Run(p *program) error {
	loaded, err := config.LoadWithoutFiles(l.Config, p.getenv, nil) // those of other credentials may be readable by the service alone
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
	ctx, cancel := context.WithTimeoutCause(p.ctx, loginTime, fmt.Errorf("nobody agreed within %v", loginTime))
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
		"although it shows an error there:\n", login.URL())
	if err := (&callback{login: login, finished: make(chan error, 1)}).wait(ctx, listener, p); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "The credential %s is kept in %s. A roamproxy that runs takes it within half a minute.\n", k.Name, c.StateDir)
	return nil
}

// callback finishes a login with the first answer that is one to it, from the browser or from the keyboard.
type callback struct {
	login    *credential.Login
	finished chan error

	mu   sync.Mutex // guards done; held while the answer is used, which only one may
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
		server.Shutdown(ctx) // lets the browser have its answer
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ServeHTTP answers the browser. A page that does not know the state cannot end the login.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet || r.URL.Path != "/callback" {
		http.NotFound(w, r)
		return
	}
	switch err := c.finish(r.Context(), r.URL.Query()); {
	case errors.Is(err, credential.ErrState):
		http.Error(w, "This page was not opened by the login that is under way.", http.StatusBadRequest)
	case err != nil:
		http.Error(w, "The login failed; roamproxy says why.", http.StatusBadGateway)
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

// read takes pasted addresses, line by line.
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
		fmt.Fprintln(p.out, "That is not the address; it begins with http://127.0.0.1 and has code= and state= in it.")
	}
}
