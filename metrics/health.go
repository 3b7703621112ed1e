package metrics

import "sync"

// Health holds the conditions under which calls can succeed. The zero value is ready. It may be used by many
// goroutines.
type Health struct {
	mu       sync.Mutex // guards the following
	checks   []source[error]
	notes    []source[string]
	draining bool
}

// Check adds a condition of readiness, or replaces the one of this name; nil removes it. check returns an error for a problem that an
// operator must fix, such as a refused credential, and not for one that passes, such as a pause.
func (h *Health) Check(name string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = withSource(h.checks, name, check)
}

// Note adds information for an operator that needs no fix, or replaces the note of this name; nil removes it. An empty note is not shown.
func (h *Health) Note(name string, note func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = withSource(h.notes, name, note)
}

// Drain makes the process not ready until it ends, because it is about to stop.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Stopping is the name of the check that Drain makes fail. It needs no fix.
const Stopping = "shutdown"

// CheckResult is the result of a Check or a Note.
type CheckResult struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
	Note    string `json:"note,omitempty"` // information for the operator; OK is true
}

// Results returns the results of all checks, followed by the notes that are not empty, each in the order in which they were added.
func (h *Health) Results() []CheckResult {
	h.mu.Lock()
	checks, notes, draining := h.checks, h.notes, h.draining
	h.mu.Unlock()
	results := make([]CheckResult, 0, len(checks)+1)
	add := func(name, problem string) {
		results = append(results, CheckResult{Name: name, OK: problem == "", Problem: problem})
	}
	if draining {
		add(Stopping, "stopping; new calls are refused")
	}
	for _, c := range checks {
		problem := ""
		if err := c.ask(); err != nil {
			problem = err.Error()
		}
		add(c.name, problem)
	}
	for _, n := range notes {
		if note := n.ask(); note != "" {
			results = append(results, CheckResult{Name: n.name, OK: true, Note: note})
		}
	}
	return results
}
