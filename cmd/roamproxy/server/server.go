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
	"roamproxy/proxy/peer"
)

// Server is a running roamproxy with its listeners.
type Server struct {
	*app
	log          *Logger
	read         func() (*config.Loaded, error) // the configuration, again; nil: there is none to read
	reloading    sync.Mutex                     // one reload at a time
	tools, admin *http.Server
	conns        [2]*connLimiter // of tools and admin
	pages        swapHandler     // of admin
	Addr         string          // where tools connect
	AdminAddr    string
	failed       chan error
}

// Start listens first, so that what is wrong shows at once. read is for reloads.
func Start(c config.Config, log *Logger, read func() (*config.Loaded, error)) (*Server, error) {
	r := &Server{log: log, read: read, failed: make(chan error, 2), conns: [2]*connLimiter{newConnLimiter(), newConnLimiter()}}
	gate, err := adminGate(c.Admin)
	if err != nil {
		return nil, err
	}
	forTools, err := listen(c.Listen, c.ListenGroup)
	if err != nil {
		return nil, listenError(err, "listen", c.Listen)
	}
	forAdmin, err := net.Listen("tcp", c.Admin.Listen)
	if err != nil {
		forTools.Close()
		return nil, listenError(err, "admin.listen", c.Admin.Listen)
	}
	if r.app, err = newApp(c, log.Logger, forTools.Addr(), forAdmin.Addr()); err != nil {
		forTools.Close()
		forAdmin.Close()
		return nil, err
	}
	r.pages.set(r.adminPages(c, gate))
	r.Addr, r.AdminAddr = forTools.Addr().String(), forAdmin.Addr().String()
	r.tools, r.admin = r.newHTTPServer(r.app, c.Limits), r.newHTTPServer(&r.pages, c.Limits)
	r.admin.ReadTimeout, r.admin.WriteTimeout = 10*time.Second, time.Minute // its requests have no body, and its answers are short
	r.limitConnections(c.Limits.MaxConnections)
	peer.NewFinder().Attach(r.tools)
	r.conns[0].attach(r.tools)
	r.conns[1].attach(r.admin)
	go r.serve(r.tools, forTools)
	go r.serve(r.admin, forAdmin)
	version, _ := Version()
	log.Info("serving", zap.String("version", version), zap.String("listen", r.Addr), zap.String("admin", r.AdminAddr),
		zap.String("upstream", c.Upstream.URL))
	return r, nil
}

func (r *Server) newHTTPServer(h http.Handler, l config.Limits) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: stdlog.New(stdLogWriter{r.log.Logger}, "", 0),
		ReadHeaderTimeout: time.Duration(l.ReadHeaderTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
		MaxHeaderBytes:               64 << 10, // Roam's clients send one or two KiB
		DisableGeneralOptionsHandler: true,     // or net/http answers OPTIONS * ahead of the guard
	}
}

// serve serves until the server is closed, and reports any other end.
func (r *Server) serve(s *http.Server, l net.Listener) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		r.failed <- err
	}
}

// limitConnections sets the cap of both listeners.
func (r *Server) limitConnections(n int) {
	for _, c := range r.conns {
		c.setLimit(n)
	}
}

// refusalTime is the part of the grace that is kept for answering the calls that are still queued.
const refusalTime = 2 * time.Second

// Stop ends the event streams, whose clients open others. It makes readiness red and serves for the delay, each answer the last of its
// connection. Then it takes no new connections and lets calls end within the grace. Calls that are still queued near its end are refused
// with a time to come again.
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
	}
	r.admin.Close()
	r.app.Close()
	r.log.Info("stopped")
}
