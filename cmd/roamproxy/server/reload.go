package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// Reload reads the configuration again and applies it. Connections, queued calls, bucket levels and pauses stay. Calls in flight end
// under the configuration with which they began. The error joins all mistakes; the old configuration then stays in force. by names the
// trigger in the log.
func (s *Server) Reload(by string) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.notifyReloading()
	defer s.notify(daemon.SdNotifyReady)
	err := s.reread()
	s.metrics.Reloaded(err == nil)
	if err != nil {
		s.log.Error("the configuration was not reloaded; the old one stays in force", zap.String("by", by),
			zap.Strings("mistakes", messages(err)))
		return err
	}
	s.log.Info("the configuration was reloaded", zap.String("by", by))
	return nil
}

func (s *Server) reread() error {
	if s.read == nil {
		return errors.New("this roamproxy was started without a configuration that can be read again")
	}
	l, err := s.read()
	if err != nil {
		return err
	}
	if err := l.CheckFrozen(s.current().config); err != nil {
		return err
	}
	gate, err := adminGate(l.Admin)
	if err != nil {
		return err
	}
	if err := s.change(l.Config); err != nil {
		return err
	}
	s.pages.set(s.adminPages(l.Config, gate))
	s.limitConnections(l.Limits.MaxConnections)
	s.log.configure(l.Log)
	return nil
}

// answerReload answers POST /-/reload: 200, or 400 with all mistakes.
func (s *Server) answerReload(w http.ResponseWriter, req *http.Request) {
	answer := map[string]any{"reloaded": true}
	w.Header().Set("Content-Type", "application/json")
	if err := s.Reload(req.Method + " " + req.URL.Path); err != nil {
		answer = map[string]any{"reloaded": false, "mistakes": messages(err)}
		w.WriteHeader(http.StatusBadRequest)
	}
	json.NewEncoder(w).Encode(answer)
}

// messages returns the text of each joined error.
func messages(err error) []string {
	var all []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, e.Error())
		}
		return all
	}
	return []string{err.Error()}
}

// swapHandler is a handler that can be replaced while it serves.
type swapHandler struct{ now atomic.Pointer[http.Handler] }

func (s *swapHandler) set(h http.Handler) { s.now.Store(&h) }

func (s *swapHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.now.Load()).ServeHTTP(w, r)
}
