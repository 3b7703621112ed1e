package status

import (
	"net/http"
	"strings"
)

// serveStatus answers with a Status; with ?history, it includes ten minutes of samples.
func (m *Monitor) serveStatus(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, m.Status(r.URL.Query().Has("history")))
}

// serveCall answers with the explanation of a call, by its request id.
func (m *Monitor) serveCall(w http.ResponseWriter, r *http.Request) {
	explanation, ok := m.Explain(strings.TrimPrefix(r.URL.Path, "/api/calls/"))
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": unknownCall})
		return
	}
	writeJSON(w, http.StatusOK, explanation)
}

const unknownCall = "No call with this id is among the last 1000 that were sent, shared or refused. " +
	"A hit does not wait and is not kept here; a call that still waits has not ended."
