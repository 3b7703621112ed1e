package server

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"

	"roamproxy/cmd/roamproxy/config"
)

// RunOptions are what the process hands to Run. All are required.
type RunOptions struct {
	Read    func() (*config.Loaded, error) // at the start, and at each reload
	Hangups <-chan os.Signal               // each reloads
	Getenv  func(string) string
	Log     io.Writer
}

// Run serves until ctx is done, and then lets calls end. An error before it serves means that nothing was started.
func Run(ctx context.Context, o RunOptions) error {
	read := func() (*config.Loaded, error) {
		l, err := o.Read()
		if err == nil {
			collect(l.Config, o.Getenv)
		}
		return l, err
	}
	l, err := read()
	if err != nil {
		return errors.Join(err, errors.New("nothing was started; roamproxy check shows the whole configuration"))
	}
	log := NewLog(l.Log, o.Log)
	defer log.Sync()
	defer stdLogWriter{log.Logger}.capture()()
	server, err := Start(l.Config, log, read)
	if err != nil {
		return err
	}
	defer func() { server.Stop(server.current().config.Limits) }()
	server.notify(daemon.SdNotifyReady)
	server.background.Go(func() { server.beat(server.ctx) })
	for {
		select {
		case <-o.Hangups:
			server.Reload("SIGHUP") // logs what was wrong, and changes nothing then
		case <-ctx.Done():
			return nil
		case err := <-server.failed:
			return err
		}
	}
}
