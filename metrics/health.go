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
	notes    []source[string]
	draining bool
}

// Check adds a condition of readiness, or replaces the one of this name; nil takes it away. An error of it is something that an
// operator must mend, such as a refused credential, and not something that passes, such as a pause.
func (h *Health) Check(name string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = put(h.checks, name, check)
}

// Note adds something that an operator should know and need not mend, or replaces the one of this name; nil takes it away. There
// is nothing to say while it is empty.
func (h *Health) Note(name string, note func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = put(h.notes, name, note)
}

// Drain makes the process not ready, for good: it is about to stop.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Stopping is the name of the check that Drain makes fail: the one that nobody need mend.
const Stopping = "shutdown"

// CheckResult is what became of a Check.
type CheckResult struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
	Note    string `json:"note,omitempty"` // what to know although all is well
}

// Results are those of all checks, in the order in which they were added.
func (h *Health) Results() []CheckResult {
	h.mu.Lock()
	checks, notes, draining := h.checks, h.notes, h.draining
	h.mu.Unlock()
	results := make([]CheckResult, 0, len(checks)+1)
	add := func(name, problem string) {
		results = append(results, CheckResult{Name: name, OK: problem == "", Problem: problem})
	}
	if draining {
		add(Stopping, "stopping; no new calls are wanted")
	}
	for _, c := range checks {
		problem := ""
		if err := c.ask(); err != nil {
			problem = err.Error()
		}
		add(c.name, problem)
	}
	for _, n := range notes {
		results = append(results, CheckResult{Name: n.name, OK: true, Note: n.ask()})
	}
	return results
}

// alive answers /healthz: who answers, lives. With ?verbose it says what lives.
func (m *Metrics) alive(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("verbose") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
		return
	}
	answer(w, http.StatusOK, struct {
		OK bool `json:"ok"`
		Build
	}{true, m.build})
}

// Ready answers /readyz: 200, or 503 with what is to be mended. With ?verbose it names every check.
func (h *Health) Ready(w http.ResponseWriter, r *http.Request) {
	results := h.Results()
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
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
