package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter/redisquota"
	"roamproxy/proxy/roamtest/redistest"
)

// authority issues certificates for a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{a.file(name, ".pem"): {Type: "CERTIFICATE", Bytes: der},
		a.file(name, ".key"): {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issued, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued, key
}

func (a *authority) file(name, kind string) string { return filepath.Join(a.dir, name+kind) }

// both returns a file with a certificate and its key.
func (a *authority) both(name string) string {
	certificate, _ := os.ReadFile(a.file(name, ".pem"))
	key, _ := os.ReadFile(a.file(name, ".key"))
	path := filepath.Join(a.dir, name+"-both.pem")
	os.WriteFile(path, append(certificate, key...), 0o600)
	return path
}

func TestRedisOverTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ca.issue(t, "elsewhere", &x509.Certificate{DNSNames: []string{"redis.example"}})
	ca.issue(t, "replica", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	other := newAuthority(t)
	secure := func(name string) *redistest.Redis {
		return redistest.NewTLSRedis(t, "--tls-cert-file", ca.file(name, ".pem"), "--tls-key-file", ca.file(name, ".key"),
			"--tls-ca-cert-file", ca.file("ca", ".pem"))
	}
	server, elsewhere := secure("server"), secure("elsewhere")
	whole := config.Redis{URL: config.RedisURL(server.URL()), CAFile: ca.file("ca", ".pem"), CertFile: ca.both("replica")}
	for _, tt := range []struct {
		name   string
		change func(*config.Redis)
		want   string // in the error
	}{
		{"both sides show what they are", func(*config.Redis) {}, "none"},
		{"an authority that is not trusted", func(r *config.Redis) { r.CAFile = other.file("ca", ".pem") },
			"certificate signed by unknown authority"},
		{"the system's authorities", func(r *config.Redis) { r.CAFile = "" }, "certificate signed by unknown authority"},
		{"another server's certificate", func(r *config.Redis) { r.URL = config.RedisURL(elsewhere.URL()) }, "127.0.0.1"},
		{"no certificate of ours", func(r *config.Redis) { r.CertFile = "" }, ""}, // Redis closes the connection, with or without a reason
		{"no TLS", func(r *config.Redis) {
			r.URL, r.CAFile, r.CertFile = config.RedisURL(strings.Replace(server.URL(), "rediss", "redis", 1)), "", ""
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := whole
			tt.change(&r)
			client, err := connectRedis(r)
			if err == nil {
				err = client.Do(t.Context(), client.B().Ping().Build()).Error()
				client.Close()
			}
			if said := fmt.Sprint(err); err == nil && tt.want != "none" || err != nil && !strings.Contains(said, tt.want) {
				t.Errorf("got %s, want an error with %q", said, tt.want)
			}
		})
	}
}

// After a new password, in Redis and in its file, a replica reconnects soon. Sentinels, which have no password, never get it.
func TestAPasswordFileIsReadAgain(t *testing.T) {
	redis := redistest.NewRedis(t, "--requirepass", "first")
	sentinels := redistest.NewSentinels(t, redis, 1)
	for name, url := range map[string]string{"one server": redis.URL(), "through a Sentinel": sentinels.URL()} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "password")
			write := func(password string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("first")
			r := config.Redis{URL: config.RedisURL(url), PasswordFile: file}
			f := redisquota.New(redisquota.Options{Connect: func() (rueidis.Client, error) { return connectRedis(r) }, Prefix: "test", Replicas: 1})
			if _, err := f.Bucket("roam", 1, 10, 0, time.Minute); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, "connecting with the password", func() bool { return f.Away() == nil })
			client, err := connectRedis(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"CONFIG SET requirepass second", "CLIENT KILL TYPE normal SKIPME yes"} {
				if err := client.Do(t.Context(), client.B().Arbitrary(strings.Fields(command)...).Build()).Error(); err != nil {
					t.Fatalf("%s: %v", command, err)
				}
			}
			redistest.Eventually(t, "being refused", func() bool {
				away := f.Away()
				return away != nil && strings.Contains(away.Error(), "WRONGPASS")
			})
			write("second")
			redistest.Eventually(t, "connecting with the new password", func() bool { return f.Away() == nil })
			if err := client.Do(t.Context(), client.B().Arbitrary("CONFIG", "SET", "requirepass", "first").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			client.Close()
			f.Close()
		})
	}
}
