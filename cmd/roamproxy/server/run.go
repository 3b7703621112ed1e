package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter/statefile"
)

// RunOptions is what Run needs from the process. All fields but WaitLock are required.
type RunOptions struct {
	Read    func() (*config.Loaded, error) // reads the configuration, at the start and for each reload
	Hangups <-chan os.Signal               // each signal reloads
	Getenv  func(string) string
	Log     io.Writer

	WaitLock time.Duration // longest wait for another process to release the state directory
}

// Run serves until ctx is done, and then lets calls end. After an error before it serves, everything is closed again.
func Run(ctx context.Context, o RunOptions) error {
	read := func() (*config.Loaded, error) {
		l, err := o.Read()
		if err == nil {
			setMemoryLimit(l.Config, o.Getenv)
		}
		return l, err
	}
	l, err := read()
	if err != nil {
		return errors.Join(err, errors.New("roamproxy has not started; roamproxy check shows the whole configuration"))
	}
	buffer := newLogBuffer(o.Log)
	defer buffer.Close()
	log := NewLog(l.Log, buffer)
	defer stdLogWriter{log.Logger}.capture()()
	logWarnings(log, l)
	lock, err := lockState(ctx, l.Config, o.WaitLock, log)
	if err != nil {
		return err
	}
	if lock != nil {
		defer lock.Unlock()
	}
	server, err := Start(l.Config, log, func() (*config.Loaded, error) {
		l, err := read()
		if err == nil {
			logWarnings(log, l)
		}
		return l, err
	})
	if err != nil {
		return err
	}
	buffer.countWith(server.metrics.LineDropped)
	server.health.Note("log", buffer.note)
	if lock != nil {
		lock.SetAddress(server.Addr)
	}
	defer func() { server.Stop(server.current().config.Limits) }()
	server.notify(daemon.SdNotifyReady)
	server.background.Go(func() { server.beat(server.ctx) })
	for {
		select {
		case <-o.Hangups:
			server.Reload("SIGHUP") // logs its errors itself
		case <-ctx.Done():
			return nil
		case err := <-server.failed:
			return err
		}
	}
}

func logWarnings(log *Logger, l *config.Loaded) {
	for _, w := range l.Warnings {
		log.Warn("the configuration", zap.String("warning", w))
	}
}

// lockState keeps other processes from using the same state directory: each would spend the whole quota. Where the directory cannot be
// locked the result is nil. roamproxy then serves without a lock, and readiness reports the directory.
func lockState(ctx context.Context, c config.Config, wait time.Duration, log *Logger) (*statefile.Lock, error) {
	dir, err := statefile.Open(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	lock, err := dir.Lock(ctx, c.Listen, 0)
	var locked *statefile.LockedError
	if wait > 0 && errors.As(err, &locked) {
		log.Info("waiting for another roamproxy to release the state directory", zap.Stringer("at_most", wait),
			zap.String("owner", locked.Error()))
		lock, err = dir.Lock(ctx, c.Listen, wait)
	}
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("state_dir: %w: both would spend the whole quota; stop the other one, or wait for its end with "+
			"--wait-lock 30s", err)
	case err != nil:
		log.Warn("the state directory cannot be locked, so a second roamproxy with it would start", zap.Error(err))
	}
	return lock, nil
}
