package server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/cmd/roamproxy/config"
)

func TestTheAdminTokenRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		os.WriteFile(path, []byte("first\n"), 0o600)
		gate, err := adminGate(config.Admin{TokenFile: path})
		if err != nil {
			t.Fatal(err)
		}
		pages := gate(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		want := func(when, token string, status int) {
			t.Helper()
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			if pages.ServeHTTP(w, r); w.Code != status {
				t.Errorf("%s: %q is answered %d, want %d", when, token, w.Code, status)
			}
		}
		want("at first", "first", 200)
		os.WriteFile(path, []byte("second\n"), 0o600)
		time.Sleep(10 * time.Second)
		want("10 s after the change", "first", 401)
		want("10 s after the change", "second", 200)
		os.Remove(path)
		time.Sleep(10 * time.Second)
		want("without the file", "second", 200)
		want("without the file", "", 401)
	})
}

func TestAnEmptyAdminTokenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	os.WriteFile(path, nil, 0o600)
	if _, err := adminGate(config.Admin{TokenFile: path}); err == nil || !strings.Contains(err.Error(), "admin.token_file") {
		t.Errorf("an empty file: %v", err)
	}
}
