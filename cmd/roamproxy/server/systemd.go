package server

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notify tells systemd, where that started us, how things are. Elsewhere it does nothing.
func (r *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		r.log.Warn("systemd could not be told", zap.String("state", state), zap.Error(err))
	}
}

// notifyReloading tells that a reload begins; its end is told like the start's.
func (r *Server) notifyReloading() {
	r.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// beat shows systemd twice in each of its intervals that the lines can still be asked: a process in which a lock is never
// freed again answers nothing and is started anew.
func (r *Server) beat(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		r.log.Warn("systemd's watchdog", zap.Error(err))
	}
	if interval <= 0 {
		return
	}
	for ticks := time.Tick(interval / 2); ; {
		for _, q := range r.queues() {
			q.State()
		}
		r.notify(daemon.SdNotifyWatchdog)
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
	}
}
