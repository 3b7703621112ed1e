package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// block returns the first code block of the README in this language after a heading.
func block(t *testing.T, heading, language string) string {
	t.Helper()
	text := readFile(t, "../../../README.md")
	_, section, found := strings.Cut(text, "\n"+heading+"\n")
	code := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(section)
	if !found || code == nil {
		t.Fatalf("the README has no %s after %q", language, heading)
	}
	return code[1]
}

// replaceOnce replaces a text that must be there once.
func replaceOnce(t *testing.T, text, old, with string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is there %d times, want once, in\n%s", old, strings.Count(text, old), text)
	}
	return strings.Replace(text, old, with, 1)
}

// writeCertificate writes the certificate of httptest and its key to files, and returns a pool that trusts it.
func writeCertificate(t *testing.T, dir string) (certificate, key string, trusted *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	private, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, trusted = filepath.Join(dir, "front.pem"), filepath.Join(dir, "front.key"), x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: s.Certificate().Raw},
		key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key, trusted
}

// TLS in front of roamproxy as the README shows it, with the real nginx. Only ports, files and the token differ.
func TestTheNginxOfTheReadme(t *testing.T) {
	nginx := redistest.Program(t, "nginx")
	token := "rpt_of-the-bot"
	settings := replaceOnce(t, block(t, "### Behind TLS", "yaml"), strings.Repeat("0", 64), fmt.Sprintf("%x", sha256.Sum256([]byte(token))))
	c := startReloadable(t, roamtest.Options{}, settings)
	dir, front := t.TempDir(), freePorts(t, 1)[0]
	certificate, key, trusted := writeCertificate(t, dir)
	server := block(t, "### Behind TLS", "nginx")
	for old, with := range map[string]string{
		"listen 443 ssl": "listen " + front + " ssl", "proxy_pass http://127.0.0.1:8080": "proxy_pass http://" + c.Addr,
		"/etc/ssl/roam.internal.pem": certificate, "/etc/ssl/roam.internal.key": key,
	} {
		server = replaceOnce(t, server, old, with)
	}
	path := filepath.Join(dir, "nginx.conf")
	paths := ""
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		paths += fmt.Sprintf("%s_temp_path %s/%s;\n", name, dir, name)
	}
	if err := os.WriteFile(path, []byte("events {}\nhttp {\naccess_log off;\n"+paths+server+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-p", dir, "-c", path, "-e", filepath.Join(dir, "error.log"), "-g",
		"daemon off; master_process off; pid "+dir+"/pid;")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })

	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "example.com"}, // as in the certificate
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", front)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	tool := &http.Client{Transport: transport}
	eventually(t, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", front)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for _, tt := range []struct {
		name, method, token string
		status              int
	}{
		{"a read", "GET", token, 200}, {"a write", "POST", token, 200}, {"a wrong token", "GET", "wrong", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := map[string]string{"GET": "/v1/groups.list", "POST": "/v1/chat.post"}[tt.method]
			req, _ := http.NewRequest(tt.method, "https://roam.internal"+path, strings.NewReader(`{"chat":"C-1","text":"hello"}`))
			req.Header.Set("Authorization", "Bearer "+tt.token)
			req.Header.Set("Content-Type", "application/json")
			res, err := tool.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != tt.status {
				t.Errorf("answered %d %s, want %d", res.StatusCode, body, tt.status)
			}
		})
	}
}
