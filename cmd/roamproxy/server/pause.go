package server

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
)

// resumeResult is the answer to POST /api/resume.
type resumeResult struct {
	OK      bool     `json:"ok"`
	Resumed []string `json:"resumed"`            // quotas whose pause ended now; one call is sent first, as probe
	Open    []string `json:"not_paused"`         // quotas without a pause, or whose probe is in flight
	Forgot  []string `json:"forgotten,omitzero"` // quotas whose configured limits apply again
	Error   string   `json:"error,omitempty"`    // why nothing was done
}

// maxManualPause bounds a manual pause: longer than an incident lasts.
const maxManualPause = 24 * time.Hour

// defaultManualPause is the length of a manual pause without ?max=.
const defaultManualPause = 10 * time.Minute

// pauseResult is the answer to POST /api/pause.
type pauseResult struct {
	OK     bool     `json:"ok"`
	Paused []string `json:"paused"` // quotas that send no calls now
	Until  string   `json:"until,omitempty"`
	Error  string   `json:"error,omitempty"` // why nothing was done
}

// pause pauses the quota that ?quota= names, or all, for ?max= or until POST /api/resume.
func (s *Server) pause(w http.ResponseWriter, req *http.Request) {
	queues, answer, status := s.queues(), pauseResult{OK: true, Paused: []string{}}, http.StatusOK
	length := defaultManualPause
	if text := req.URL.Query().Get("max"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length <= 0 || length > maxManualPause {
			answer.OK, answer.Error, status = false, "max: want a duration such as 10m, above 0 and at most 24h", http.StatusBadRequest
		}
	}
	names := slices.Sorted(maps.Keys(queues))
	if name := req.URL.Query().Get("quota"); name != "" {
		names = []string{name}
		if _, known := queues[name]; !known && answer.OK {
			answer.OK, answer.Error, status = false, "there is no quota of this name", http.StatusNotFound
		}
	}
	if answer.OK {
		answer.Paused, answer.Until = names, time.Now().Add(length).UTC().Format(time.RFC3339)
		for _, name := range names {
			queues[name].Pause(length)
			s.log.Warn("paused by hand: no call is sent until then, or until roamproxy resume", zap.String("quota", name),
				zap.String("until", answer.Until))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// resume ends the pause of the quota that ?quota= names, or of all. ?forget=limit also resets the adaptive limit.
func (s *Server) resume(w http.ResponseWriter, req *http.Request) {
	queues := s.queues()
	names := slices.Sorted(maps.Keys(queues))
	answer, status := resumeResult{OK: true, Resumed: []string{}, Open: []string{}}, http.StatusOK
	if name := req.URL.Query().Get("quota"); name != "" {
		if _, known := queues[name]; !known {
			answer.OK, answer.Error, status = false, "there is no quota of this name", http.StatusNotFound
			names = nil
		} else {
			names = []string{name}
		}
	}
	forget := req.URL.Query().Get("forget")
	if forget != "" && forget != "limit" {
		answer.OK, answer.Error, status = false, "forget: want limit", http.StatusBadRequest
		names = nil
	}
	for _, name := range names {
		if forget != "" {
			queues[name].Forget()
			s.log.Info("adaptive limit reset by hand: the configured limits apply", zap.String("quota", name))
			answer.Forgot = append(answer.Forgot, name)
		}
		if queues[name].Resume() {
			s.log.Info("pause ended by hand", zap.String("quota", name))
			answer.Resumed = append(answer.Resumed, name)
		} else {
			answer.Open = append(answer.Open, name)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}
