package metrics

import (
	_ "embed"
	"net/http"
)

//go:embed index.html
var index []byte

// Admin is the handler of the admin listener: /metrics, /healthz, /readyz, and a page that says what they are. page stands in
// front of that page; it decides who may see it.
func (m *Metrics) Admin(h *Health, page func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.HandleFunc("GET /healthz", h.Alive)
	mux.HandleFunc("GET /readyz", h.Ready)
	mux.Handle("GET /{$}", page(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		w.Write(index)
	})))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}
