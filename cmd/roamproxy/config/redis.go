package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// RedisURL is an address that may hold a password, which String redacts.
type RedisURL string

func (r *RedisURL) parse(s string) error {
	*r = RedisURL(s)
	return nil
}

// String returns the URL without its password.
func (r RedisURL) String() string {
	parsed, err := url.Parse(string(r))
	switch {
	case err != nil:
		return "[redacted]" // it may hold a password with a character that should be encoded
	case parsed.User != nil:
		name := ""
		if parsed.User.Username() != "" {
			name = url.PathEscape(parsed.User.Username())
		}
		parsed.User = nil
		return strings.Replace(parsed.String(), "//", "//"+name+":[redacted]@", 1)
	}
	return parsed.String()
}

// redisDial bounds one attempt to connect to Redis. No call waits for it.
const redisDial = time.Second

// ClientOptions returns the client's options, except those that are in files.
func (r Redis) ClientOptions() (rueidis.ClientOption, error) {
	o, err := rueidis.ParseURL(string(r.URL))
	if err != nil {
		return o, errors.New("want redis://user:password@host:port/database, rediss:// for TLS, ?addr=host:port for more of a cluster, " +
			"?master_set=name for Sentinel")
	}
	if o.Dialer.Timeout == 0 {
		o.Dialer.Timeout = redisDial
	}
	if o.ConnWriteTimeout == 0 {
		o.ConnWriteTimeout = 2 * redisDial
	}
	o.ClientName = "roamproxy"
	o.PipelineMultiplex = -1 // one connection, so that no call waits for a second handshake
	o.DisableCache = true    // roamproxy's own messages invalidate the memory, and are acknowledged
	o.DisableRetry = true    // a failed command must not delay a call further
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName = "" // each node has its own name
	}
	o.Sentinel.Dialer, o.Sentinel.TLSConfig, o.Sentinel.ClientName = o.Dialer, o.TLSConfig, o.ClientName
	o.Sentinel.TopologyRefreshInterval = redisDial // the message about a failover may be lost
	return o, nil
}

func (c Config) checkRedis(v *checker) {
	r := c.Redis
	v.want(r.Replicas >= 1, "redis.replicas", "want at least 1, not %d", r.Replicas)
	v.want(regexp.MustCompile(`^[a-zA-Z0-9:._-]{1,64}$`).MatchString(r.Prefix), "redis.prefix",
		"want 1 to 64 letters, digits and :._-, not %q", r.Prefix)
	type named struct{ key, file string }
	secure := []named{{"redis.ca_file", r.CAFile}, {"redis.cert_file", r.CertFile}}
	if r.URL == "" {
		for _, f := range append(secure, named{"redis.password_file", r.PasswordFile}) {
			v.want(f.file == "", f.key, "has no effect without redis.url")
		}
		return
	}
	o, err := r.ClientOptions()
	if err != nil {
		v.bad("redis.url", "%v", err)
		return
	}
	r.checkTransport(v, o)
	v.want(o.Password == "" || r.PasswordFile == "", "redis.password_file", "there is a password in redis.url too; keep one")
	for _, f := range secure {
		v.want(f.file == "" || o.TLSConfig != nil, f.key, "has no effect without TLS: want rediss:// in redis.url")
	}
}

// checkTransport reports settings that would send a password unencrypted, or accept any server, on the way to another machine.
func (r Redis) checkTransport(v *checker, o rueidis.ClientOption) {
	if r.Insecure {
		return
	}
	const allow = "; if the network is trusted, set redis.insecure: true"
	if o.TLSConfig != nil {
		v.want(!o.TLSConfig.InsecureSkipVerify, "redis.url", "skip_verify accepts any server as Redis; want redis.ca_file with its "+
			"certificate%s", allow)
		return
	}
	if o.Password == "" && r.PasswordFile == "" {
		return
	}
	for _, addr := range o.InitAddress {
		v.want(strings.HasPrefix(addr, "/") || IsLoopback(addr), "redis.url",
			"%s is another machine, and the password would go there unencrypted; want rediss://%s", addr, allow)
	}
}

// Certificate reads the client certificate and its private key, which are in one file, so that neither can be replaced without the
// other.
func (r Redis) Certificate() (tls.Certificate, error) {
	return tls.LoadX509KeyPair(r.CertFile, r.CertFile)
}

// checkRedisFiles reports certificates that cannot be read.
func (c Config) checkRedisFiles(v *checker) {
	r := c.Redis
	if r.CAFile != "" {
		checkCertificates(v, "redis.ca_file", r.CAFile)
	}
	if r.CertFile != "" {
		_, err := r.Certificate()
		v.want(err == nil, "redis.cert_file", "%v", err)
	}
}

// checkCertificates reports a file that cannot be read, or that has no certificate in PEM.
func checkCertificates(v *checker, key, file string) {
	content, err := os.ReadFile(file)
	v.want(err == nil, key, "%v", err)
	v.want(err != nil || x509.NewCertPool().AppendCertsFromPEM(content), key, "there is no certificate in %s", file)
}
