package credential

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v4"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hidden = "rmk-a-very-secret-key"

// Seen to fail with a secret that prints itself.
func TestSecretRefusesToBePrinted(t *testing.T) {
	s := NewSecret(hidden)
	type exported struct{ S Secret }
	type unexported struct{ s Secret }
	for _, v := range []any{s, &s, exported{s}, &exported{s}, unexported{s}, &unexported{s}, []Secret{s}, map[string]Secret{"k": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			if got := fmt.Sprintf(verb, v); leaks(got) {
				t.Errorf("%s of %T shows %q, want [redacted]", verb, v, got)
			}
		}
		var out bytes.Buffer
		json.NewEncoder(&out).Encode(v)
		func() {
			defer func() { recover() }() // yaml panics on what it cannot encode
			y, _ := yaml.Marshal(v)
			out.Write(y)
		}()
		gob.NewEncoder(&out).Encode(v)
		core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel)
		zap.New(core).Info("with", zap.Any("secret", v), zap.Error(fmt.Errorf("told %v", v)))
		if leaks(out.String()) {
			t.Errorf("an encoder shows %T: %s, want [redacted]", v, out.String())
		}
	}
	if got := s.Reveal(); got != hidden {
		t.Errorf("Reveal = %q, want it whole", got)
	}
	if !(Secret{}).IsZero() || s.IsZero() {
		t.Error("IsZero is wrong, want it true for the zero Secret alone")
	}
}

func leaks(s string) bool {
	return strings.Contains(s, hidden) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", hidden))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAChangedFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	synctest.Test(t, func(t *testing.T) {
		want := func(when, value string) {
			t.Helper()
			s, err := NewFile(path).Secret(t.Context())
			if s.Reveal() != value {
				t.Errorf("%s: a new reader has %q (%v), want %q", when, s.Reveal(), err, value)
			}
		}
		write(t, path, "first\n")
		f := NewFile(path)
		want("at first", "first")
		f.Secret(t.Context())
		write(t, path, "second")
		time.Sleep(10 * time.Second)
		if s, _ := f.Secret(t.Context()); s.Reveal() != "second" {
			t.Errorf("10 s after the change: %q, want the new secret", s.Reveal())
		}
		os.Remove(path)
		time.Sleep(maxFileAge)
		if s, err := f.Secret(t.Context()); s.Reveal() != "second" || err != nil {
			t.Errorf("a file that is gone: %q, %v, want the last good one", s.Reveal(), err)
		}
		write(t, path, "third")
		time.Sleep(maxFileAge)
		if s, _ := f.Secret(t.Context()); s.Reveal() != "third" || f.Err() != nil {
			t.Errorf("once there is a file again: %q, Err %v, want its secret", s.Reveal(), f.Err())
		}
	})
}

func TestAFileThatBecomesUnusableKeepsTheLastSecret(t *testing.T) {
	for name, content := range map[string]string{"empty": " \n", "too large": strings.Repeat("x", maxFileSize+1), "two lines": "a\nb",
		"a control character": "a\x00b"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			synctest.Test(t, func(t *testing.T) {
				write(t, path, "good")
				f := NewFile(path)
				f.Secret(t.Context())
				write(t, path, content)
				time.Sleep(maxFileAge)
				s, err := f.Secret(t.Context())
				if s.Reveal() != "good" || err != nil || f.Err() == nil || !strings.Contains(f.Err().Error(), path) {
					t.Errorf("%q, %v, Err %v; want the last good one, and Err to name the file", s.Reveal(), err, f.Err())
				}
				if _, err := NewFile(path).Secret(t.Context()); !errors.Is(err, ErrCredential) {
					t.Errorf("at start: %v, want ErrCredential", err)
				}
			})
		})
	}
}

// Kubernetes mounts key → ..data/key and ..data → a dated folder, and replaces ..data.
//
// Seen to fail with a file that is read once.
func TestAFileBehindAReplacedLinkIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	swap := func(n, value string) {
		t.Helper()
		os.Mkdir(filepath.Join(dir, n), 0o700)
		write(t, filepath.Join(dir, n, "key"), value)
		if err := os.Symlink(n, filepath.Join(dir, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", "old")
	if err := os.Symlink(filepath.Join("..data", "key"), filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := NewFile(filepath.Join(dir, "key"))
		f.Secret(t.Context())
		swap("..2", "new")
		time.Sleep(maxFileAge)
		if s, err := f.Secret(t.Context()); s.Reveal() != "new" {
			t.Errorf("after the swap: %q, %v, want new", s.Reveal(), err)
		}
	})
}

// roam answers with one status and records the latest request.
type roam struct {
	status int
	seen   *http.Request
}

func (r *roam) RoundTrip(req *http.Request) (*http.Response, error) {
	r.seen = req
	return &http.Response{StatusCode: r.status, Body: http.NoBody, Request: req}, nil
}

type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

// Seen to fail with a credential for any host.
func TestTransportAddsTheCredentialForItsHostAlone(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		sent      bool
	}{
		{"the upstream", "https://api.ro.am/v1/groups.list", true},
		{"another host", "https://evil.example/v1/groups.list", false},
		{"another port", "https://api.ro.am:444/v1/groups.list", false},
		{"without encryption", "http://api.ro.am/v1/groups.list", false},
		{"a host that ends alike", "https://api.ro.am.evil.example/", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next := &roam{status: 200}
			tr := &Transport{Next: next, Name: "org", Source: Key{NewSecret(hidden)}, Scheme: "https", Host: "api.ro.am"}
			sent := &body{Reader: strings.NewReader("x")}
			req, _ := http.NewRequest("POST", tt.url, sent)
			req.Header["Authorization"] = []string{"Bearer tool", "Bearer again"}
			req.Header.Set("Connection", "Authorization")
			_, err := tr.RoundTrip(req)
			if (next.seen != nil) != tt.sent {
				t.Errorf("sent = %v, want %v (%v)", next.seen != nil, tt.sent, err)
				return
			}
			if !tt.sent && (!errors.Is(err, ErrCredential) || !sent.closed || leaks(err.Error())) {
				t.Errorf("%v, body closed %v; want ErrCredential without the secret, and the body closed", err, sent.closed)
			}
			if tt.sent && fmt.Sprint(next.seen.Header["Authorization"]) != "[Bearer "+hidden+"]" {
				t.Errorf("Authorization = %q, want the secret alone", next.seen.Header["Authorization"])
			}
			if fmt.Sprint(req.Header["Authorization"]) != "[Bearer tool Bearer again]" {
				t.Error("the tool's request was changed, want a copy changed")
			}
		})
	}
}

// A 401 belongs to its route. A second 401 on another route shows that the credential is refused, until a call succeeds.
//
// Seen to fail with one 401 that counts for all routes.
func TestTransportRecordsARefusal(t *testing.T) {
	next := &roam{}
	tr := &Transport{Next: next, Name: "org", Source: Key{NewSecret(hidden)}, Scheme: "https", Host: "api.ro.am"}
	for _, step := range []struct {
		path   string
		status int
		ok     bool
	}{
		{"/v1/a.list", 200, true}, {"/v1/a.list", 401, true}, {"/v1/a.list", 401, true}, {"/v1/a.list?x=1", 401, true}, {"/v1/b.list", 503, true},
		{"/v1/b.list", 429, true}, {"/v1/b.list", 401, false}, {"/v1/b.list", 503, false}, {"/v1/b.list", 429, false}, {"/v1/b.list", 404, true},
		{"/v1/b.list", 401, true}, {"/v1/a.list", 204, true}, {"/v1/a.list", 401, true}, {"/v1/b.list", 401, false}, {"/v1/a.list", 204, true},
		{"/scim/v2/Users/1", 401, true}, {"/scim/v2/Users/2", 401, true}, {"/scim/v2/Groups/2", 401, false},
	} {
		next.status = step.status
		req, _ := http.NewRequest("GET", "https://api.ro.am"+step.path, nil)
		if _, err := tr.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if problem := tr.Problem(); (problem == nil) != step.ok {
			t.Errorf("after %d to %s: %v, want no problem = %v", step.status, step.path, problem, step.ok)
		}
	}
	tr.Source = NewFile(filepath.Join(t.TempDir(), "none"))
	if tr.Problem() == nil {
		t.Error("a missing file is no problem, want one")
	}
}

func TestAnUnusableKeyIsAnError(t *testing.T) {
	for _, value := range []string{"", "a b", "a\r\nX: y", "schlüssel"} {
		t.Run(fmt.Sprintf("%q", value), func(t *testing.T) {
			if _, err := (Key{NewSecret(value)}).Secret(t.Context()); !errors.Is(err, ErrCredential) {
				t.Errorf("%v, want ErrCredential", err)
			}
		})
	}
}

// Seen to fail with a secret that is never replaced.
func TestRotationUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "0")
	f := NewFile(path)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				if s, err := f.Secret(t.Context()); err != nil || s.IsZero() {
					t.Errorf("%v, %v; want a secret", s, err)
				}
				f.mu.Lock()
				f.lastRead = time.Time{}
				f.mu.Unlock()
			}
		})
	}
	for i := range 50 {
		next := path + ".next"
		write(t, next, fmt.Sprint(i))
		os.Rename(next, path)
	}
	all.Wait()
	if s, err := f.Renew(t.Context(), Secret{}); s.Reveal() != "49" || err != nil {
		t.Errorf("after the last rotation: %q, %v, want 49", s.Reveal(), err)
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{"key", "key\n", "", "a b", "\x00", "\xef\xbb\xbfkey"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, string(content))
		s, err := NewFile(path).Secret(t.Context())
		if (err == nil) == s.IsZero() {
			t.Errorf("%q: no secret %v, %v; want a secret or an error", content, s.IsZero(), err)
		}
		if strings.ContainsAny(s.Reveal(), " \r\n\x00") {
			t.Errorf("%q became a secret that no header may carry, want an error", content)
		}
	})
}
