package server

import (
	"encoding/json"
	"net/http"
)

// answerLocally answers the paths of the tools' listener that are no methods of Roam, and reports whether it did. Health checks, scrapes
// and browsers that come to the wrong port must not spend the quota: once a second they would spend all of it.
func answerLocally(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz":
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Write([]byte("ok\n"))
	case "/":
		notHere(w, "This is roamproxy, and no method of Roam's: call paths such as /v1/groups.list. The status page is on the admin listener (admin.listen).")
	case "/metrics", "/favicon.ico":
		notHere(w, "This is no method of Roam's. Metrics and pages are on the admin listener (admin.listen).")
	default:
		return false
	}
	return true
}

// notHere answers 404 in the form of roamproxy's own errors.
func notHere(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Roamproxy-Error", "not_found")
	w.Header().Set("Proxy-Status", `roamproxy; error=http_request_error; details="not a method of Roam"`)
	w.WriteHeader(http.StatusNotFound)
	json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": "not_found", "reason": "not_found", "message": message})
}
