package status

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Admin is the handler of the admin listener. /metrics, /healthz and /readyz are open to every client; all other pages are behind the gate.
type Admin struct {
	mux  *chi.Mux
	gate func(http.Handler) http.Handler
}

// ActionHeader must be on every POST, with any value. A form of a web page cannot send it. A script of another origin can send it
// only after a preflight, which is never answered.
const ActionHeader = "Roamproxy-Admin"

// actionBody bounds the body of a POST, in bytes. The longest is a pattern of routes.
const actionBody = 64 << 10

// Admin returns the handler with the status page. gate wraps every page but metrics and health, and refuses clients that may not see them.
func (m *Monitor) Admin(gate func(http.Handler) http.Handler) *Admin {
	a := &Admin{mux: chi.NewMux(), gate: gate}
	a.mux.Use(middleware.GetHead, noStore)
	a.mux.Handle("GET /metrics", m.metrics.Handler())
	a.mux.HandleFunc("GET /healthz", m.serveHealth)
	a.mux.HandleFunc("GET /readyz", m.serveReadiness)
	a.Handle("GET /api/status", m.serveStatus)
	a.Handle("GET /api/calls/*", m.serveCall)
	p := newPage(m)
	a.Handle("GET /", p.serve)
	a.Handle("GET /api/events", p.serveEvents)
	for _, file := range []string{"/style.css", "/script.js", "/icon.svg"} {
		a.Handle("GET "+file, p.serveFile)
	}
	return a
}

// Handle adds a handler behind the gate, under a method and a path in the form of chi. A handler for POST is called only with
// ActionHeader, and gets a bounded body.
func (a *Admin) Handle(pattern string, h http.HandlerFunc) {
	before := chi.Chain(a.gate)
	if strings.HasPrefix(pattern, http.MethodPost+" ") {
		before = append(before, requireAction)
	}
	a.mux.Handle(pattern, before.HandlerFunc(h))
}

// requireAction refuses a request without ActionHeader, and bounds its body.
func requireAction(next http.Handler) http.Handler {
	return http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(ActionHeader) == "" {
			http.Error(w, "This changes something, so it needs the header "+ActionHeader+": yes, which no web form can send.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}), actionBody)
}

// noStore adds header fields to every answer: no cache may keep it, and no browser may guess its Content-Type.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP answers one request.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }
