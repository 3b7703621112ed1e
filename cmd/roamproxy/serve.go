package main

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
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
	read := func() (*config.Loaded, error) {
		l, err := config.Load(s.Config, p.getenv, []config.Override{
			{Key: "listen", Value: s.Listen, Source: "--listen"},
			{Key: "admin.listen", Value: s.AdminListen, Source: "--admin-listen"},
			{Key: "upstream.url", Value: s.UpstreamURL, Source: "--upstream-url"},
			{Key: "log.level", Value: s.LogLevel, Source: "--log-level"},
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
	defer oneCore(p.getenv)()
	log := newLog(l.Log, p.err)
	defer log.Sync()
	defer heard{log.Logger}.overhear()()
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
	read         func() (*config.Loaded, error) // the configuration, again; nil: there is none to read
	reloading    sync.Mutex                     // one reload at a time
	tools, admin *door
	pages        swapped // of the admin listener
	addr         string  // where tools connect
	adminAddr    string
	failed       chan error
}

// start listens first, so that what is wrong shows at once. read is for reloads.
func start(c config.Config, log *logger, read func() (*config.Loaded, error)) (*running, error) {
	r := &running{log: log, read: read, failed: make(chan error, 2)}
	gate, err := adminGate(c.Admin)
	if err != nil {
		return nil, err
	}
	forTools, err := listen(c.Listen, c.ListenGroup)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	forAdmin, err := listenTCP(c.Admin.Listen)
	if err != nil {
		forTools.Close()
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	if r.app, err = wire(c, log.Logger, forTools.Addr(), forAdmin.Addr()); err != nil {
		forTools.Close()
		forAdmin.Close()
		return nil, err
	}
	server := func(h http.Handler, l config.Limits) *http.Server {
		return &http.Server{
			Handler: h, ErrorLog: stdlog.New(heard{log.Logger}, "", 0), ReadHeaderTimeout: time.Duration(l.ReadHeaderTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
			MaxHeaderBytes: 64 << 10, // Roam's clients send one or two KiB
		}
	}
	r.pages.set(r.adminPages(c, gate))
	r.addr, r.adminAddr = forTools.Addr().String(), forAdmin.Addr().String()
	r.tools = &door{listener: forTools, seats: newSeats(), failed: r.failed, wrap: proxy.Remember,
		make: func(l config.Limits) *http.Server { return server(r.app, l) }}
	r.admin = &door{listener: forAdmin, seats: newSeats(), failed: r.failed,
		make: func(l config.Limits) *http.Server {
			s := server(&r.pages, l)
			s.ReadTimeout, s.WriteTimeout = 10*time.Second, time.Minute // its bodies are none and its answers are short
			return s
		}}
	r.tools.serve(c.Limits)
	r.admin.serve(c.Limits)
	version, _ := built()
	log.Info("serving", zap.String("version", version), zap.String("listen", r.addr), zap.String("admin", r.adminAddr), zap.String("upstream", c.Upstream.URL))
	return r, nil
}

// refusalTime is kept of the grace for telling those who still wait that they were not sent.
const refusalTime = 2 * time.Second

// stop is not ready first, serves for the delay with every answer the last of its connection, then takes no new connection and
// lets calls end within the grace. Who still waits near its end is told to come again.
func (r *running) stop(l config.Limits) {
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
	if err := r.tools.shutdown(ctx); err != nil {
		r.log.Warn("calls were cut off at the end of the grace", zap.Error(err))
		r.tools.close()
	}
	r.admin.close()
	r.app.Close()
	r.log.Info("stopped")
}
