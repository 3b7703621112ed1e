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
func (r *Server) Reload(by string) error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	r.notifyReloading()
	defer r.notify(daemon.SdNotifyReady)
	err := r.reread()
	r.metrics.Reloaded(err == nil)
	if err != nil {
		r.log.Error("the configuration was not reloaded; the old one stays in force", zap.String("by", by),
			zap.Strings("mistakes", messages(err)))
		return err
	}
	r.log.Info("the configuration was reloaded", zap.String("by", by))
	return nil
}

func (r *Server) reread() error {
	if r.read == nil {
		return errors.New("this roamproxy was started without a configuration that can be read again")
	}
	l, err := r.read()
	if err != nil {
		return err
	}
	if err := l.CheckFrozen(r.current().config); err != nil {
		return err
	}
	gate, err := adminGate(l.Admin)
	if err != nil {
		return err
	}
	if err := r.change(l.Config); err != nil {
		return err
	}
	r.pages.set(r.adminPages(l.Config, gate))
	r.limitConnections(l.Limits.MaxConnections)
	r.log.configure(l.Log)
	return nil
}

// answerReload answers POST /-/reload: 200, or 400 with all mistakes.
func (r *Server) answerReload(w http.ResponseWriter, req *http.Request) {
	answer := map[string]any{"reloaded": true}
	w.Header().Set("Content-Type", "application/json")
	if err := r.Reload(req.Method + " " + req.URL.Path); err != nil {
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
