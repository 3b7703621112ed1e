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
	s := &Server{log: log, read: read, failed: make(chan error, 3), conns: [2]*connLimiter{newConnLimiter(), newConnLimiter()}}
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
	if s.app, err = newApp(c, log.Logger, addresses(listeners)...); err != nil {
		closeAll(listeners)
		return nil, err
	}
	s.pages.set(s.adminPages(c, gate))
	s.Addr, s.AdminAddr = forTools.Addr().String(), forAdmin.Addr().String()
	s.tools, s.admin = s.newHTTPServer(s.app, c.Limits), s.newHTTPServer(&s.pages, c.Limits)
	s.admin.ReadTimeout, s.admin.WriteTimeout = 10*time.Second, time.Minute // admin requests have no body, and their answers are short
	s.limitConnections(c.Limits.MaxConnections)
	peer.NewFinder().Attach(s.tools)
	s.conns[0].attach(s.tools)
	s.conns[1].attach(s.admin)
	go s.serve(s.tools, proxy.Attach(s.tools, forTools))
	go s.serve(s.admin, forAdmin)
	if len(listeners) > 2 {
		s.serveWebhooks(listeners[2], c.Limits)
	}
	version, _ := Version()
	log.Info("serving", zap.String("version", version), zap.String("listen", s.Addr), zap.String("admin", s.AdminAddr),
		zap.String("upstream", c.Upstream.URL))
	return s, nil
}

// serveWebhooks serves Roam's webhooks, on a listener that may be open to the internet.
func (s *Server) serveWebhooks(l net.Listener, limits config.Limits) {
	s.WebhookAddr = l.Addr().String()
	s.metrics.WebhooksOn()
	s.hooks = s.newHTTPServer(&s.webhooks, limits)
	s.hooks.ReadTimeout, s.hooks.WriteTimeout = webhookReadTime, 2*webhookReadTime
	conns := newConnLimiter()
	conns.setLimit(webhookConnections)
	conns.attach(s.hooks)
	go s.serve(s.hooks, l)
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

func (s *Server) newHTTPServer(h http.Handler, l config.Limits) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: stdlog.New(stdLogWriter{s.log.Logger}, "", 0),
		ReadHeaderTimeout: time.Duration(l.ReadHeaderTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
		MaxHeaderBytes:               64 << 10, // Roam's clients send one or two KiB
		DisableGeneralOptionsHandler: true,     // net/http would answer OPTIONS * before the guard
	}
}

// serve serves until the server is closed. It reports any other error to failed.
func (s *Server) serve(h *http.Server, l net.Listener) {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		s.failed <- err
	}
}

// limitConnections sets the connection limit of both listeners.
func (s *Server) limitConnections(n int) {
	for _, c := range s.conns {
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
func (s *Server) Stop(l config.Limits) {
	s.log.Info("stopping", zap.Stringer("delay", l.ShutdownDelay), zap.Stringer("grace", l.ShutdownGrace))
	s.notify(daemon.SdNotifyStopping)
	s.health.Drain()
	s.draining.Store(true)
	s.streams.Drain()
	time.Sleep(time.Duration(l.ShutdownDelay))
	grace := time.Duration(l.ShutdownGrace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	refuse := time.AfterFunc(max(grace-refusalTime, grace/2), s.closeQueues)
	defer refuse.Stop()
	if err := s.tools.Shutdown(ctx); err != nil {
		s.log.Warn("calls were cut off at the end of the grace", zap.Error(err))
		s.tools.Close()
		s.writes.Close()
	}
	if s.hooks != nil {
		s.hooks.Shutdown(ctx)
	}
	s.admin.Close()
	s.app.Close()
	s.log.Info("stopped")
}
