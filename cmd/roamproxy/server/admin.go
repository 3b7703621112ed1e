package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/http/pprof"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
)

// adminPages returns the handler of the admin listener.
func (s *Server) adminPages(c config.Config, gate func(http.Handler) http.Handler) http.Handler {
	pages := s.monitor.Admin(gate)
	pages.Handle("POST /api/pause", s.pause)
	pages.Handle("POST /api/resume", s.resume)
	pages.Handle("POST /-/reload", s.answerReload)
	pages.Handle("GET /api/webhooks", s.subscriptions)
	pages.Handle("POST /api/webhooks", s.subscriptions)
	if c.Admin.Debug {
		pages.Handle("GET /debug/pprof/*", pprof.Index)
		pages.Handle("GET /debug/pprof/profile", pprof.Profile)
		pages.Handle("GET /debug/pprof/trace", pprof.Trace)
		pages.Handle("GET /debug/pprof/symbol", pprof.Symbol)
	}
	pages.Handle("POST /api/purge", s.purge)
	return proxy.Guard(pages, reach(c.Admin.Listen, c.Hosts))
}

// purge removes the entries of the routes that match, and answers with their number.
func (s *Server) purge(w http.ResponseWriter, req *http.Request) {
	n, err := s.current().proxy.Purge(req.FormValue("match"))
	if err != nil {
		http.Error(w, "match: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.log.Info("purged", zap.String("match", short(req.FormValue("match"))), zap.Int("entries", n))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"purged":%d}`+"\n", n)
}

// adminGate returns a middleware that requires the admin token, as Bearer or as password, where admin.token_file is set. It reads the
// file again when the content changes. A file that becomes unreadable leaves the last token in use.
func adminGate(a config.Admin) (func(http.Handler) http.Handler, error) {
	if a.TokenFile == "" {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	file := credential.NewFile(a.TokenFile)
	if _, err := file.Secret(context.Background()); err != nil {
		return nil, fmt.Errorf("admin.token_file: %w", err)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			presented, _ := proxy.TokenIn(r.Header["Authorization"])
			token, err := file.Secret(r.Context())
			sum, want := sha256.Sum256([]byte(presented)), sha256.Sum256([]byte(token.Reveal()))
			if err != nil || subtle.ConstantTimeCompare(sum[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", `Basic realm="roamproxy admin"`)
				http.Error(w, "This page needs the token of admin.token_file as password.", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}
