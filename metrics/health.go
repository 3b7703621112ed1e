package metrics

import (
	"encoding/json"
	"net/http"
	"sync"
)

// Health answers whether the process lives and whether calls can go through. The zero value is ready. It may be used by many
// goroutines.
type Health struct {
	mu       sync.Mutex // guards the following
	checks   []source[error]
	draining bool
}

// Check adds a condition of readiness: an error of it is something that an operator must mend, such as a refused credential,
// and not something that passes, such as a pause.
func (h *Health) Check(name string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, source[error]{name, check})
}

// Drain makes the process not ready, for good: it is about to stop.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Problems are the conditions that do not hold, by name.
func (h *Health) Problems() map[string]string {
	h.mu.Lock()
	checks, draining := h.checks, h.draining
	h.mu.Unlock()
	problems := make(map[string]string)
	if draining {
		problems["shutdown"] = "stopping; no new calls are wanted"
	}
	for _, c := range checks {
		if err := c.ask(); err != nil {
			problems[c.name] = err.Error()
		}
	}
	return problems
}

// Alive answers /healthz: who answers, lives.
func (h *Health) Alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

// Ready answers /readyz: 200, or 503 with what is to be mended.
func (h *Health) Ready(w http.ResponseWriter, _ *http.Request) {
	problems := h.Problems()
	w.Header().Set("Content-Type", "application/json")
	if len(problems) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(map[string]any{"ready": len(problems) == 0, "problems": problems})
}
