package server

import (
	"encoding/json"
	"net/http"
)

// isLocal reports whether a path of the tools' listener is not a method of Roam. Health checks, scrapes and browsers at the wrong port
// must not spend the quota: one request a second would spend all of it.
func isLocal(path string) bool {
	return path == "/" || path == "/healthz" || path == "/metrics" || path == "/favicon.ico"
}

// answerLocally answers a request for a local path.
func answerLocally(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/":
		notHere(w, "This is roamproxy, and / is not a method of Roam. Call paths such as /v1/groups.list. "+
			"The status page is on the admin listener (admin.listen).")
	case r.URL.Path != "/healthz":
		notHere(w, "This is not a method of Roam. Metrics and pages are on the admin listener (admin.listen).")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Write([]byte("ok\n"))
	}
}

// codeNotFound is the error of a local path that has no page. It is not one of proxy's codes: no call was made.
const codeNotFound = "not_found"

// notHere answers 404 in the format of roamproxy's own errors.
func notHere(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Roamproxy-Error", codeNotFound)
	w.Header().Set("Proxy-Status", `roamproxy; error=http_request_error; details="not a method of Roam"`)
	w.WriteHeader(http.StatusNotFound)
	json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": codeNotFound, "reason": codeNotFound, "message": message})
}
