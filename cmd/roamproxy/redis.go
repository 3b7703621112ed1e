package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/proxy"
)

// RedisURL is an address with, perhaps, a password in it, which is never shown.
type RedisURL string

func (u *RedisURL) parse(s string) error {
	*u = RedisURL(s)
	return nil
}

// String is what may be seen of it.
func (u RedisURL) String() string {
	parsed, err := url.Parse(string(u))
	switch {
	case err != nil:
		return "[redacted]" // it may be a password with a sign that belongs encoded
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

// How long Redis may take to let us connect. A call never waits for that; only the next attempt does.
const redisDial = time.Second

// options are what the library wants to know, but for what is in files.
func (r Redis) options() (rueidis.ClientOption, error) {
	o, err := rueidis.ParseURL(string(r.URL))
	if err != nil {
		return o, errors.New("want redis://user:password@host:port/database, rediss:// for TLS, ?addr=host:port for more of a cluster, ?master_set=name for Sentinel")
	}
	if o.Dialer.Timeout == 0 {
		o.Dialer.Timeout = redisDial
	}
	if o.ConnWriteTimeout == 0 {
		o.ConnWriteTimeout = 2 * redisDial
	}
	o.ClientName = "roamproxy"
	o.PipelineMultiplex = -1 // one connection: there is one call at a time, and no second handshake within a call's patience
	o.DisableCache = true    // what is kept in memory is dropped by messages of our own, which say when it is gone
	o.DisableRetry = true    // a call does not wait longer because a first try failed
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName = "" // of several each has its own
	}
	o.Sentinel.Dialer, o.Sentinel.TLSConfig, o.Sentinel.ClientName = o.Dialer, o.TLSConfig, o.ClientName
	o.Sentinel.TopologyRefreshInterval = redisDial // a message that a copy took over may be missed
	return o, nil
}

// connect makes a connection, with what the files hold now.
func (r Redis) connect() (rueidis.Client, error) {
	o, err := r.options()
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	if r.PasswordFile != "" {
		content, err := os.ReadFile(r.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("redis.password_file: %w", err)
		}
		o.Password = strings.TrimSpace(string(content))
	}
	if r.CAFile != "" {
		if o.TLSConfig.RootCAs, err = proxy.Trust(r.CAFile); err != nil {
			return nil, fmt.Errorf("redis.ca_file: %w", err)
		}
	}
	if r.CertFile != "" {
		own, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("redis.cert_file: %w", err)
		}
		o.TLSConfig.Certificates = []tls.Certificate{own}
	}
	return rueidis.NewClient(o)
}

func (c Config) checkRedis(v *checker) {
	r := c.Redis
	v.want(r.Replicas >= 1, "redis.replicas", "want at least 1, not %d", r.Replicas)
	v.want(regexp.MustCompile(`^[a-zA-Z0-9:._-]{1,64}$`).MatchString(r.Prefix), "redis.prefix", "want 1 to 64 letters, digits and :._-, not %q", r.Prefix)
	v.want(r.CertFile == "" || r.KeyFile != "", "redis.cert_file", "is of no use without redis.key_file")
	v.want(r.KeyFile == "" || r.CertFile != "", "redis.key_file", "is of no use without redis.cert_file")
	type named struct{ key, file string }
	secure := []named{{"redis.ca_file", r.CAFile}, {"redis.cert_file", r.CertFile}, {"redis.key_file", r.KeyFile}}
	if r.URL == "" {
		for _, f := range append(secure, named{"redis.password_file", r.PasswordFile}) {
			v.want(f.file == "", f.key, "is of no use without redis.url")
		}
		return
	}
	o, err := r.options()
	if err != nil {
		v.bad("redis.url", "%v", err)
		return
	}
	v.want(o.Password == "" || r.PasswordFile == "", "redis.password_file", "there is a password in redis.url too; keep one")
	for _, f := range secure {
		v.want(f.file == "" || o.TLSConfig != nil, f.key, "is of no use without TLS: want rediss:// in redis.url")
	}
	if r.CAFile != "" {
		_, err := proxy.Trust(r.CAFile)
		v.want(err == nil, "redis.ca_file", "%v", err)
	}
	if r.CertFile != "" && r.KeyFile != "" {
		_, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		v.want(err == nil, "redis.cert_file", "%v", err)
	}
}

// share begins to find the other replicas; nil: there are none.
func (a *app) share(r Redis) (*limiter.Fleet, error) {
	if r.URL == "" {
		return nil, nil
	}
	if _, err := r.options(); err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	return limiter.NewFleet(limiter.FleetOptions{
		Connect: r.connect, Prefix: r.Prefix, Replicas: r.Replicas,
		Changed: func(away error) {
			if away == nil {
				a.log.Info("Redis is there: quota, pauses and cache are shared", zap.Stringer("redis", r.URL))
				return
			}
			a.log.Warn("Redis is away: this replica goes on with its share of the rate and with what it has in memory, and comes back by itself",
				zap.Stringer("redis", r.URL), zap.Int("replicas", r.Replicas), zap.String("error", short(away.Error())))
		},
	}), nil
}

// shared has everything that lives longer than a generation know the fleet; nil: there is none.
func (a *app) shared(f *limiter.Fleet, r Redis) {
	if f == nil {
		a.budgets.Share(nil)
		a.metrics.RedisState(nil)
		a.health.Note("redis", nil)
		return
	}
	a.budgets.Share(f)
	a.metrics.RedisState(func() bool { return f.Away() == nil })
	a.health.Note("redis", func() string {
		if away := f.Away(); away != nil {
			return fmt.Sprintf("away (%v): calls go on at 1/%d of the rate, and nothing is shared", short(away.Error()), r.Replicas)
		}
		return ""
	})
}

// sharedAnswers is the cache's second tier, where there is one.
func sharedAnswers(c Config, f *limiter.Fleet) *cache.Redis {
	if f == nil {
		return nil
	}
	return cache.NewRedis(cache.RedisOptions{
		Client: f.Client, Prefix: c.Redis.Prefix, Partition: partition(c),
		Answer: int64(c.Cache.MaxBody) + 1<<20, // and its header
	})
}

// partition keeps apart the answers of another Roam and of other secrets: one that was replaced may be that of another workspace.
// It shows no secret, and nobody can try any against it without having one already.
func partition(c Config) string {
	sum := hmac.New(sha256.New, []byte("roamproxy cache"))
	fmt.Fprintf(sum, "%q", c.Upstream.URL)
	for _, k := range c.Credentials {
		fmt.Fprintf(sum, "%q%q%q", k.Name, k.APIKey.Reveal(), k.APIKeyFile)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}
