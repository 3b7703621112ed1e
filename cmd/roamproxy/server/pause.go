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
	Resumed []string `json:"resumed"`            // quotas whose pause ended now; one call goes first, alone, to see what Roam says
	Open    []string `json:"not_paused"`         // quotas that had none, or whose probe is under way
	Forgot  []string `json:"forgotten,omitzero"` // quotas whose configured limits are in force again
	Error   string   `json:"error,omitempty"`    // why nothing was done
}

// mostHeld bounds a pause by hand: longer than an incident lasts.
const mostHeld = 24 * time.Hour

// usualHeld is how long a pause by hand lasts when nothing is said.
const usualHeld = 10 * time.Minute

// pauseResult is the answer to POST /api/pause.
type pauseResult struct {
	OK     bool     `json:"ok"`
	Paused []string `json:"paused"` // quotas on which nothing is sent now
	Until  string   `json:"until,omitempty"`
	Error  string   `json:"error,omitempty"` // why nothing was done
}

// pause holds the calls of the quota that ?quota= names, or of all, for ?max=, or until POST /api/resume.
func (r *Server) pause(w http.ResponseWriter, req *http.Request) {
	queues, answer, status := r.queues(), pauseResult{OK: true, Paused: []string{}}, http.StatusOK
	held := usualHeld
	if text := req.URL.Query().Get("max"); text != "" {
		var err error
		if held, err = time.ParseDuration(text); err != nil || held <= 0 || held > mostHeld {
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
		answer.Paused, answer.Until = names, time.Now().Add(held).UTC().Format(time.RFC3339)
		for _, name := range names {
			queues[name].Pause(held)
			r.log.Warn("paused by hand: nothing is sent until then, or until roamproxy resume", zap.String("quota", name),
				zap.String("until", answer.Until))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// resume ends by hand the pause of the quota that ?quota= names, or of all. ?forget=limit also forgets what adapt has learned.
func (r *Server) resume(w http.ResponseWriter, req *http.Request) {
	queues := r.queues()
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
			r.log.Info("limit forgotten by hand: the configured one is in force", zap.String("quota", name))
			answer.Forgot = append(answer.Forgot, name)
		}
		if queues[name].Resume() {
			r.log.Info("pause ended by hand", zap.String("quota", name))
			answer.Resumed = append(answer.Resumed, name)
		} else {
			answer.Open = append(answer.Open, name)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}
