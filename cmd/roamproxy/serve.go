package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
)

type serveCmd struct {
	Config      string `help:"Configuration file." placeholder:"FILE"`
	Listen      string `help:"Where tools connect." placeholder:"ADDR"`
	AdminListen string `help:"Where /metrics, /healthz and /readyz are." placeholder:"ADDR"`
	UpstreamURL string `help:"Roam, or a simulated Roam." placeholder:"URL"`
	LogLevel    string `help:"debug, info, warn or error." placeholder:"LEVEL"`

	WaitLock time.Duration `help:"Longest wait for another roamproxy to release the state directory." placeholder:"DURATION"`
}

// Run serves until it is interrupted, and then lets calls end.
func (s serveCmd) Run(p *program) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // until now main ignored it
	defer signal.Stop(hangups)
	signal.Ignore(syscall.SIGPIPE) // when the reader of the log ends, calls must not
	defer signal.Reset(syscall.SIGPIPE)
	read := func() (*config.Loaded, error) {
		return config.Load(s.Config, p.getenv, []config.Override{
			{Key: "listen", Value: s.Listen, Source: "--listen"},
			{Key: "admin.listen", Value: s.AdminListen, Source: "--admin-listen"},
			{Key: "upstream.url", Value: s.UpstreamURL, Source: "--upstream-url"},
			{Key: "log.level", Value: s.LogLevel, Source: "--log-level"},
		})
	}
	return server.Run(p.ctx, server.RunOptions{Read: read, Hangups: hangups, Getenv: p.getenv, Log: p.err, WaitLock: s.WaitLock})
}
