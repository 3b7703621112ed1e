package server

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"roamproxy/cache"
	"roamproxy/cache/rediscache"
	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter/redisquota"
	"roamproxy/proxy"
	"roamproxy/proxy/repeat"
	"roamproxy/proxy/repeat/redisrepeat"
)

// connectRedis connects to Redis with the current content of its files.
func connectRedis(r config.Redis) (rueidis.Client, error) {
	o, err := r.ClientOptions()
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
		if o.TLSConfig.RootCAs, err = proxy.TrustedCerts(r.CAFile); err != nil {
			return nil, fmt.Errorf("redis.ca_file: %w", err)
		}
	}
	if r.CertFile != "" {
		own, err := r.Certificate()
		if err != nil {
			return nil, fmt.Errorf("redis.cert_file: %w", err)
		}
		o.TLSConfig.Certificates = []tls.Certificate{own}
	}
	return rueidis.NewClient(o)
}

// share starts the session with the other replicas; nil without redis.url.
func (a *app) share(r config.Redis) (*redisquota.Session, error) {
	if r.URL == "" {
		return nil, nil
	}
	if _, err := r.ClientOptions(); err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	return redisquota.New(redisquota.Options{
		Connect: func() (rueidis.Client, error) { return connectRedis(r) }, Prefix: r.Prefix, Replicas: r.Replicas,
		OnConnectionChange: func(away error) {
			if away == nil {
				a.log.Info("Redis is reachable: quota, pauses and cache are shared", zap.Stringer("redis", r.URL))
				return
			}
			a.log.Warn("Redis is unreachable: this replica continues with its part of the rate and with its memory, and reconnects by itself",
				zap.Stringer("redis", r.URL), zap.Int("replicas", r.Replicas), zap.String("error", short(away.Error())))
		},
	}), nil
}

// setSession gives the session to everything that lives longer than a config snapshot; nil: there is none.
func (a *app) setSession(s *redisquota.Session, r config.Redis) {
	if s == nil {
		a.budgets.Share(nil)
		a.metrics.RedisState(nil)
		a.health.Note("redis", nil)
		return
	}
	a.budgets.Share(s)
	a.metrics.RedisState(func() bool { return s.Away() == nil })
	a.health.Note("redis", func() string {
		if away := s.Away(); away != nil {
			return fmt.Sprintf("unreachable (%v): calls continue at 1/%d of the rate, and replicas share nothing", short(away.Error()), r.Replicas)
		}
		return ""
	})
}

// sharedWrites returns the store in which replicas share writes of unknown outcome; nil without Redis.
func sharedWrites(c config.Config, f *redisquota.Session) repeat.SharedStore {
	if f == nil {
		return nil
	}
	return redisrepeat.New(f.Client, c.Redis.Prefix)
}

// sharedAnswers returns the cache's second tier; nil without Redis.
func sharedAnswers(c config.Config, f *redisquota.Session) cache.Tier {
	if f == nil {
		return nil
	}
	return rediscache.New(rediscache.Options{
		Client: f.Client, Prefix: c.Redis.Prefix,
		Answer: int64(c.Cache.MaxBody) + 1<<20, // a body and its header
	})
}
