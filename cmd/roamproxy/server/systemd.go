package server

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notify sends a state to systemd, if systemd started this process.
func (s *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd could not be notified", zap.String("state", state), zap.Error(err))
	}
}

// notifyReloading announces that a reload begins. READY announces its end.
func (s *Server) notifyReloading() {
	s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// beat notifies systemd's watchdog twice in each interval while all queues answer. systemd restarts a process that is deadlocked.
func (s *Server) beat(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("systemd's watchdog", zap.Error(err))
	}
	if interval <= 0 {
		return
	}
	for ticks := time.Tick(interval / 2); ; {
		for _, q := range s.queues() {
			q.State()
		}
		s.notify(daemon.SdNotifyWatchdog)
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
	}
}
