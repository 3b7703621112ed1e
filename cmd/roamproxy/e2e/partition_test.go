package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roamproxy/proxy/roamtest/redistest"
)

// Replicas of two workspaces with the same Redis and the same settings share no entry. Replicas of one workspace do, wherever the key
// comes from.
//
// Seen to fail with a partition by the path of the key's file.
func TestWorkspacesOnOneRedisShareNoEntry(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ok":true,"workspace":"of `+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer rmk-")+`"}`)
	}))
	t.Cleanup(upstream.Close) // after roamproxy was killed, whose connections it would wait for
	redis := redistest.NewRedis(t)
	start := func(key string, inFile bool) string {
		env := []string{"ROAMPROXY_REDIS_URL=" + redis.URL(), "ROAM_API_KEY=" + key}
		if inFile {
			dir := t.TempDir()
			os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600)
			config := filepath.Join(dir, "c.yaml")
			os.WriteFile(config, []byte("credentials: [{name: org, api_key_file: "+filepath.Join(dir, "key")+"}]"), 0o600)
			env = []string{"ROAMPROXY_REDIS_URL=" + redis.URL(), "ROAMPROXY_CONFIG=" + config}
		}
		return launch(t, upstream.URL, t.TempDir(), env...).base
	}
	for _, tt := range []struct {
		name, base, workspace, status string
	}{
		{"the first", start("rmk-one-1111", false), "one-1111", "fwd=uri-miss; stored"},
		{"another workspace, whose key is in a file", start("rmk-two-2222", true), "two-2222", "fwd=uri-miss; stored"},
		{"the first workspace, whose key is in a file", start("rmk-one-1111", true), "one-1111", "hit"},
		{"a third workspace", start("rmk-three-33", false), "three-33", "fwd=uri-miss; stored"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := get(t, client(t), tt.base+"/v1/user.list")
			if status := res.Header.Get("Cache-Status"); !strings.Contains(body, "of "+tt.workspace) || !strings.Contains(status, tt.status) {
				t.Errorf("got %s with %s, want the list of %s with %s", body, status, tt.workspace, tt.status)
			}
		})
	}
}
