package server

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"go.uber.org/zap"
)

// resumeResult is the answer to POST /api/resume.
type resumeResult struct {
	OK      bool     `json:"ok"`
	Resumed []string `json:"resumed"`         // quotas whose pause ended now; one call goes first, alone, to see what Roam says
	Open    []string `json:"not_paused"`      // quotas that had none, or whose probe is under way
	Error   string   `json:"error,omitempty"` // why nothing was done
}

// resume ends by hand the pause of the quota that ?quota= names, or of all.
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
	for _, name := range names {
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
