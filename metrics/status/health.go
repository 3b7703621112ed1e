package status

import (
	"encoding/json"
	"net/http"

	"roamproxy/metrics"
)

// serveHealth answers /healthz: any answer means that the process lives. With ?verbose it adds the version.
func (m *Monitor) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("verbose") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
		return
	}
	writeJSON(w, http.StatusOK, struct {
		OK bool `json:"ok"`
		metrics.Build
	}{true, m.metrics.State().Build})
}

// serveReadiness answers /readyz: 200, or 503 with the problems that an operator must fix. With ?verbose it lists every check.
func (m *Monitor) serveReadiness(w http.ResponseWriter, r *http.Request) {
	results := m.metrics.Health.Results()
	problems, notes := make(map[string]string), make(map[string]string)
	for _, r := range results {
		if !r.OK {
			problems[r.Name] = r.Problem
		}
		if r.Note != "" {
			notes[r.Name] = r.Note
		}
	}
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	body := map[string]any{"ready": len(problems) == 0, "problems": problems}
	if len(notes) > 0 {
		body["notes"] = notes
	}
	if r.URL.Query().Has("verbose") {
		body["checks"] = results
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
