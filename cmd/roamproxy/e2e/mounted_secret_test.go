package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"roamproxy/proxy/roamtest"
)

// volume is a directory of files as Kubernetes mounts a ConfigMap or a Secret. Each file is a link into ..data, which is itself a link
// that is replaced when any of the files changes.
type volume string

func mount(t *testing.T, files map[string]string) volume {
	m := volume(t.TempDir())
	m.swap(t, "..2026_11_01", files)
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(string(m), name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// swap replaces all files at once.
func (m volume) swap(t *testing.T, version string, files map[string]string) {
	t.Helper()
	folder := filepath.Join(string(m), version)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := filepath.Join(string(m), "..data_tmp")
	if err := os.Symlink(version, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(string(m), "..data")); err != nil {
		t.Fatal(err)
	}
}

// Seen to fail with links that are resolved once, at the start.
func TestAKeyIsReadAgainFromAReplacedMount(t *testing.T) {
	const config = `
credentials: [{name: org, api_key_file: "${MOUNTED}/api-key"}]
admin: {token_file: "${MOUNTED}/admin-token"}
tools: [{name: bot, token_file: "${MOUNTED}/bot-token"}]
`
	roam := roamtest.NewServer(roamtest.Options{Keys: []string{"first", "second"}})
	defer roam.Close()
	m := mount(t, map[string]string{"roamproxy.yaml": config, "api-key": "first", "admin-token": "old-admin", "bot-token": "old-bot"})
	r := launch(t, roam.URL, t.TempDir(), "ROAM_API_KEY=", "MOUNTED="+string(m),
		"ROAMPROXY_CONFIG="+filepath.Join(string(m), "roamproxy.yaml"))
	tools := client(t)
	bot := func(token string) (status int) {
		res, _ := get(t, tools, r.base+"/v1/meeting.search", "Authorization", "Bearer "+token)
		return res.StatusCode
	}
	if got := bot("old-bot"); got != 200 {
		t.Fatalf("before the swap the tool was answered %d, want 200", got)
	}
	m.swap(t, "..2026_11_24", map[string]string{
		"roamproxy.yaml": config + "hosts: [swapped.example]\n", "api-key": "second", "admin-token": "new-admin", "bot-token": "new-bot",
	})
	roam.Script(roamtest.Status(401, `{"ok":false,"error":"invalid_token"}`)) // the first key is revoked before its file is read again
	if got, last := bot("old-bot"), roam.Journal()[roam.Calls()-1].Credential; got != 200 || last != trace("second") {
		t.Errorf("after the swap a call was answered %d, and Roam received %s; want 200 and the second key, %s", got, last, trace("second"))
	}
	r.Process.Signal(syscall.SIGHUP)
	eventually(t, "the configuration is reloaded", func() bool { return r.logged("the configuration was reloaded") > 0 })
	if old, now := bot("old-bot"), bot("new-bot"); old != 401 || now != 200 {
		t.Errorf("after SIGHUP the old token is answered %d and the new one %d, want 401 and 200", old, now)
	}
	for token, want := range map[string]int{"old-admin": 401, "new-admin": 200} {
		if res, _ := get(t, tools, r.admin+"/api/status", "Authorization", "Bearer "+token); res.StatusCode != want {
			t.Errorf("after SIGHUP the admin token %s is answered %d, want %d", token, res.StatusCode, want)
		}
	}
	req, _ := http.NewRequest("GET", r.base+"/v1/meeting.search", nil)
	req.Host = "swapped.example"
	req.Header.Set("Authorization", "Bearer new-bot")
	res, err := tools.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("a call by the name that the swapped configuration adds was answered %d, want 200", res.StatusCode)
	}
}

// trace returns what the journal shows of a key.
func trace(key string) string {
	sum := sha256.Sum256([]byte("Bearer " + key))
	return hex.EncodeToString(sum[:4])
}
