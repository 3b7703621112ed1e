package status

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Seen to fail with a POST that needs no header.
func TestAdminPostWantsAHeaderThatNoFormCanSend(t *testing.T) {
	open := true
	m, _ := newMonitor()
	admin := m.Admin(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !open {
				http.Error(w, "no", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	done := 0
	admin.Handle("POST /api/do", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		done++
	})
	for _, tt := range []struct {
		name   string
		header string
		open   bool
		body   string
		want   int
		did    int
	}{
		{"a form", "", true, "", 403, 0},
		{"a program", "yes", true, "", 200, 1},
		{"a program without the token", "yes", false, "", 401, 0},
		{"a body without end", "yes", true, strings.Repeat("x", actionBody+1), 413, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			open, done = tt.open, 0
			r := httptest.NewRequest("POST", "/api/do", strings.NewReader(tt.body))
			if tt.header != "" {
				r.Header.Set(ActionHeader, tt.header)
			}
			w := httptest.NewRecorder()
			admin.ServeHTTP(w, r)
			if h := w.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("the answer has %v, want one that is neither guessed at nor cached", h)
			}
			if w.Code != tt.want || done != tt.did {
				t.Errorf("status %d, done %d times; want %d, %d times", w.Code, done, tt.want, tt.did)
			}
		})
	}
}
