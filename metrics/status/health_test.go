package status

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"roamproxy/metrics"
)

// Seen to fail with readiness that gives no reason.
func TestReadinessNamesWhatToFix(t *testing.T) {
	broken := errors.New("credential org: Roam answered 401 to it")
	for _, tt := range []struct {
		name, method, path string
		problem            error
		drain              bool
		code               int
		want               string
	}{
		{"alive", "GET", "/healthz", broken, false, 200, "ok"},
		{"ready", "GET", "/readyz", nil, false, 200, `"ready":true`},
		{"not ready", "GET", "/readyz", broken, false, 503, "Roam answered 401"},
		{"not ready, and all that was looked at", "GET", "/readyz?verbose", broken, false, 503, `{"name":"state","ok":true}`},
		{"what lives", "GET", "/healthz?verbose", broken, false, 200, `"version":"1.2.3"`},
		{"asked without a body", "HEAD", "/readyz", broken, false, 503, ""},
		{"the page", "GET", "/", nil, false, 200, "<title>roamproxy"},
		{"a path of Roam's", "GET", "/v1/groups.list", nil, false, 404, ""},
		{"a write", "POST", "/metrics", nil, false, 405, ""},
		{"stopping", "GET", "/readyz", nil, true, 503, "stopping"},
		{"alive while stopping", "GET", "/healthz", nil, true, 200, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			recent := NewRecent()
			counted := metrics.New(metrics.Options{Version: "1.2.3", Revision: "abcdef", Recorder: recent})
			counted.Health.Check("credential org", func() error { return tt.problem })
			counted.Health.Check("state", func() error { return nil })
			if tt.drain {
				counted.Health.Drain()
			}
			w := httptest.NewRecorder()
			admin := openAdmin(New(counted, recent))
			admin.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, tt.code, tt.want)
			}
		})
	}
}

// Seen to fail with empty notes listed as checks.
func TestANoteIsShownWhileItSaysSomething(t *testing.T) {
	recent := NewRecent()
	counted := metrics.New(metrics.Options{Recorder: recent})
	text := ""
	counted.Health.Note("quota roam", func() string { return text })
	admin := openAdmin(New(counted, recent))
	for _, text = range []string{"", "paused by hand for another 3s"} {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest("GET", "/readyz?verbose", nil))
		if got := w.Body.String(); w.Code != 200 || strings.Contains(got, "quota roam") != (text != "") || !strings.Contains(got, text) {
			t.Errorf("with the note %q: %d %s; want 200, and the note unless it is empty", text, w.Code, got)
		}
	}
}
