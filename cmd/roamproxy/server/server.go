package server

import (
	"context"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy"
	"roamproxy/proxy/peer"
)

// Server is a running roamproxy with its listeners.
type Server struct {
	*app
	log          *Logger
	read         func() (*config.Loaded, error) // reads the configuration for a reload; nil: no reload
	reloading    sync.Mutex                     // one reload at a time
	tools, admin *http.Server
	hooks        *http.Server    // for Roam's webhooks; nil without webhooks.listen
	conns        [2]*connLimiter // of the tools' and the admin listener
	pages        swapHandler     // of the admin listener
	Addr         string          // address of the tools' listener
	AdminAddr    string
	WebhookAddr  string // address for Roam's webhooks; "" without webhooks.listen
	failed       chan error
}

// Start opens the listeners first, so that a wrong address fails at once, and then serves. read is for reloads.
func Start(c config.Config, log *Logger, read func() (*config.Loaded, error)) (*Server, error) {
	r := &Server{log: log, read: read, failed: make(chan error, 3), conns: [2]*connLimiter{newConnLimiter(), newConnLimiter()}}
	gate, err := adminGate(c.Admin)
	if err != nil {
		return nil, err
	}
	forTools, err := listen(c.Listen)
	if err != nil {
		return nil, listenError(err, "listen", c.Listen)
	}
	forAdmin, err := net.Listen("tcp", c.Admin.Listen)
	if err != nil {
		forTools.Close()
		return nil, listenError(err, "admin.listen", c.Admin.Listen)
	}
	listeners := []net.Listener{forTools, forAdmin}
	if c.Webhooks.Listen != "" {
		forHooks, err := net.Listen("tcp", c.Webhooks.Listen)
		if err != nil {
			closeAll(listeners)
			return nil, listenError(err, "webhooks.listen", c.Webhooks.Listen)
		}
		listeners = append(listeners, forHooks)
	}
	if r.app, err = newApp(c, log.Logger, addresses(listeners)...); err != nil {
		closeAll(listeners)
		return nil, err
	}
	r.pages.set(r.adminPages(c, gate))
	r.Addr, r.AdminAddr = forTools.Addr().String(), forAdmin.Addr().String()
	r.tools, r.admin = r.newHTTPServer(r.app, c.Limits), r.newHTTPServer(&r.pages, c.Limits)
	r.admin.ReadTimeout, r.admin.WriteTimeout = 10*time.Second, time.Minute // admin requests have no body, and their answers are short
	r.limitConnections(c.Limits.MaxConnections)
	peer.NewFinder().Attach(r.tools)
	r.conns[0].attach(r.tools)
	r.conns[1].attach(r.admin)
	go r.serve(r.tools, proxy.Attach(r.tools, forTools))
	go r.serve(r.admin, forAdmin)
	if len(listeners) > 2 {
		r.serveWebhooks(listeners[2], c.Limits)
	}
	version, _ := Version()
	log.Info("serving", zap.String("version", version), zap.String("listen", r.Addr), zap.String("admin", r.AdminAddr),
		zap.String("upstream", c.Upstream.URL))
	return r, nil
}

// serveWebhooks serves Roam's webhooks, on a listener that may be open to the internet.
func (r *Server) serveWebhooks(l net.Listener, limits config.Limits) {
	r.WebhookAddr = l.Addr().String()
	r.metrics.WebhooksOn()
	r.hooks = r.newHTTPServer(&r.webhooks, limits)
	r.hooks.ReadTimeout, r.hooks.WriteTimeout = webhookReadTime, 2*webhookReadTime
	conns := newConnLimiter()
	conns.setLimit(webhookConnections)
	conns.attach(r.hooks)
	go r.serve(r.hooks, l)
}

func addresses(listeners []net.Listener) (all []net.Addr) {
	for _, l := range listeners {
		all = append(all, l.Addr())
	}
	return all
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

func (r *Server) newHTTPServer(h http.Handler, l config.Limits) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: stdlog.New(stdLogWriter{r.log.Logger}, "", 0),
		ReadHeaderTimeout: time.Duration(l.ReadHeaderTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
		MaxHeaderBytes:               64 << 10, // Roam's clients send one or two KiB
		DisableGeneralOptionsHandler: true,     // net/http would answer OPTIONS * before the guard
	}
}

// serve serves until the server is closed. It reports any other error to failed.
func (r *Server) serve(s *http.Server, l net.Listener) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		r.failed <- err
	}
}

// limitConnections sets the connection limit of both listeners.
func (r *Server) limitConnections(n int) {
	for _, c := range r.conns {
		c.setLimit(n)
	}
}

// refusalTime is the part of the grace that is reserved for refusing the calls that are still queued.
const refusalTime = 2 * time.Second

// Stop shuts the server down. In this order it:
//
//  1. ends event streams, whose clients then open others elsewhere, and makes readiness red
//  2. continues to serve for the delay; each answer closes its connection
//  3. closes the listeners and lets calls end within the grace
//  4. refuses, near the end of the grace, the calls that are still queued, with a time to try again
func (r *Server) Stop(l config.Limits) {
	r.log.Info("stopping", zap.Stringer("delay", l.ShutdownDelay), zap.Stringer("grace", l.ShutdownGrace))
	r.notify(daemon.SdNotifyStopping)
	r.health.Drain()
	r.draining.Store(true)
	r.streams.Drain()
	time.Sleep(time.Duration(l.ShutdownDelay))
	grace := time.Duration(l.ShutdownGrace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	refuse := time.AfterFunc(max(grace-refusalTime, grace/2), r.closeQueues)
	defer refuse.Stop()
	if err := r.tools.Shutdown(ctx); err != nil {
		r.log.Warn("calls were cut off at the end of the grace", zap.Error(err))
		r.tools.Close()
		r.writes.Close()
	}
	if r.hooks != nil {
		r.hooks.Shutdown(ctx)
	}
	r.admin.Close()
	r.app.Close()
	r.log.Info("stopped")
}
