package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"roamproxy/proxy"
)

type serveCmd struct {
	Config      string `help:"Configuration file." placeholder:"FILE"`
	Listen      string `help:"Where tools connect." placeholder:"ADDR"`
	AdminListen string `help:"Where /metrics, /healthz and /readyz are." placeholder:"ADDR"`
	UpstreamURL string `help:"Roam, or something that stands in for it." placeholder:"URL"`
	LogLevel    string `help:"debug, info, warn or error." placeholder:"LEVEL"`
}

// Run serves until it is interrupted, and then lets calls end.
func (s serveCmd) Run(p *program) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before anything else: one that comes too early must not end the process
	defer signal.Stop(hangups)
	read := func() (*Loaded, error) {
		l, err := load(s.Config, p.getenv, []override{
			{"listen", s.Listen, "--listen"}, {"admin.listen", s.AdminListen, "--admin-listen"}, {"upstream.url", s.UpstreamURL, "--upstream-url"}, {"log.level", s.LogLevel, "--log-level"},
		})
		if err == nil {
			collect(l.Config, p.getenv)
		}
		return l, err
	}
	l, err := read()
	if err != nil {
		return errors.Join(err, errors.New("nothing was started; roamproxy check shows the whole configuration"))
	}
	log := newLog(l.Log, p.err)
	defer log.Sync()
	server, err := start(l.Config, log, read)
	if err != nil {
		return err
	}
	defer func() { server.stop(server.current().config.Limits) }()
	server.notify(daemon.SdNotifyReady)
	server.behind.Go(func() { server.beat(server.stopping) })
	for {
		select {
		case <-hangups:
			server.reload("SIGHUP") // logs what was wrong, and changes nothing then
		case <-p.ctx.Done():
			return nil
		case err := <-server.failed:
			return err
		}
	}
}

// running is a roamproxy with its listeners.
type running struct {
	*app
	log          *logger
	read         func() (*Loaded, error) // the configuration, again; nil: there is none to read
	reloading    sync.Mutex              // one reload at a time
	tools, admin *http.Server
	pages        swapped // of the admin listener
	addr         string  // where tools connect
	adminAddr    string
	failed       chan error
}

// start listens first, so that what is wrong shows at once. read is for reloads.
func start(c Config, log *logger, read func() (*Loaded, error)) (*running, error) {
	r := &running{log: log, read: read, failed: make(chan error, 2)}
	gate, err := adminGate(c.Admin)
	if err != nil {
		return nil, err
	}
	forTools, err := listen(c.Listen, c.ListenGroup)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	forAdmin, err := net.Listen("tcp", c.Admin.Listen)
	if err != nil {
		forTools.Close()
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	if r.app, err = wire(c, log.Logger, forTools.Addr(), forAdmin.Addr()); err != nil {
		forTools.Close()
		forAdmin.Close()
		return nil, err
	}
	quiet, _ := zap.NewStdLogAt(log.Logger, zap.DebugLevel)
	server := func(h http.Handler) *http.Server {
		return &http.Server{
			Handler: h, ErrorLog: quiet, ReadHeaderTimeout: time.Duration(c.Limits.ReadHeaderTimeout), IdleTimeout: time.Duration(c.Limits.IdleTimeout),
			MaxHeaderBytes: 64 << 10, // Roam's clients send one or two KiB
		}
	}
	r.tools = server(r.app)
	forTools = proxy.Remember(r.tools, forTools)
	r.pages.set(r.adminPages(c, gate))
	r.admin = server(&r.pages)
	for _, s := range []*http.Server{r.tools, r.admin} {
		newSeats(c.Limits.MaxConnections).bound(s)
	}
	r.admin.ReadTimeout, r.admin.WriteTimeout = 10*time.Second, time.Minute // its bodies are none and its answers are short
	r.addr, r.adminAddr = forTools.Addr().String(), forAdmin.Addr().String()
	for server, listener := range map[*http.Server]net.Listener{r.tools: forTools, r.admin: forAdmin} {
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				r.failed <- err
			}
		}()
	}
	version, _ := built()
	log.Info("serving", zap.String("version", version), zap.String("listen", r.addr), zap.String("admin", r.adminAddr), zap.String("upstream", c.Upstream.URL))
	return r, nil
}

// refusalTime is kept of the grace for telling those who still wait that they were not sent.
const refusalTime = 2 * time.Second

// stop is not ready first, serves for the delay with every answer the last of its connection, then takes no new connection and
// lets calls end within the grace. Who still waits near its end is told to come again.
func (r *running) stop(l Limits) {
	r.log.Info("stopping", zap.Stringer("delay", l.ShutdownDelay), zap.Stringer("grace", l.ShutdownGrace))
	r.notify(daemon.SdNotifyStopping)
	r.health.Drain()
	r.leaving.Store(true)
	time.Sleep(time.Duration(l.ShutdownDelay))
	grace := time.Duration(l.ShutdownGrace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	refuse := time.AfterFunc(max(grace-refusalTime, grace/2), r.closeLines)
	defer refuse.Stop()
	if err := r.tools.Shutdown(ctx); err != nil {
		r.log.Warn("calls were cut off at the end of the grace", zap.Error(err))
		r.tools.Close()
	}
	r.admin.Close()
	r.app.Close()
	r.log.Info("stopped")
}
