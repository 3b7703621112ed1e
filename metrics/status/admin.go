package status

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Admin is the handler of the admin listener: /metrics, /healthz and /readyz for everybody who reaches it, and what Handle adds
// for those whom the gate lets through.
type Admin struct {
	mux  *chi.Mux
	gate func(http.Handler) http.Handler
}

// ActionHeader must be on every POST, with any value. A form of a web page cannot send it, and a script of another origin only
// after a preflight that is never answered.
const ActionHeader = "Roamproxy-Admin"

// actionBody bounds what a POST may bring; the longest is a pattern.
const actionBody = 64 << 10

// Admin makes the handler, with the page that says what there is. gate decides who may see more than the numbers.
func (m *Monitor) Admin(gate func(http.Handler) http.Handler) *Admin {
	a := &Admin{mux: chi.NewMux(), gate: gate}
	a.mux.Use(middleware.GetHead, unkept)
	a.mux.Handle("GET /metrics", m.metrics.Handler())
	a.mux.HandleFunc("GET /healthz", m.alive)
	a.mux.HandleFunc("GET /readyz", m.ready)
	a.Handle("GET /api/status", m.status)
	a.Handle("GET /api/calls/*", m.call)
	p := newPage(m)
	a.Handle("GET /", p.whole)
	a.Handle("GET /api/events", p.events)
	for _, file := range []string{"/style.css", "/script.js", "/icon.svg"} {
		a.Handle("GET "+file, p.file)
	}
	return a
}

// Handle adds a handler behind the gate, under a method and a path of chi's. One for POST is asked only when ActionHeader is there,
// and gets a bounded body.
func (a *Admin) Handle(pattern string, h http.HandlerFunc) {
	before := chi.Chain(a.gate)
	if strings.HasPrefix(pattern, http.MethodPost+" ") {
		before = append(before, acts)
	}
	a.mux.Handle(pattern, before.HandlerFunc(h))
}

// acts lets only who means it change something.
func acts(next http.Handler) http.Handler {
	return http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(ActionHeader) == "" {
			http.Error(w, "This changes something, so it wants the header "+ActionHeader+": yes, which no web form can send.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}), actionBody)
}

// unkept says of every answer that it is true now and not later, and no other than it says that it is.
func unkept(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP answers one request.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }
