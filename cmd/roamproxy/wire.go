package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/metrics"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
)

// app is all of roamproxy but its listeners:
//
//	tools ──► proxy ──► cache
//	            │
//	            └─────► limiter (one queue a quota) ──► Roam
//	            ▼
//	        reporter ──► metrics, log
type app struct {
	proxy   *proxy.Proxy
	cache   *cache.Cache
	queues  map[string]*limiter.Queue
	metrics *metrics.Metrics
	health  *metrics.Health
	close   []func()
}

func (a *app) Close() {
	for _, c := range slices.Backward(a.close) {
		c()
	}
}

// wire builds an app out of a configuration that was checked.
func wire(c Config, log *zap.Logger) (a *app, err error) {
	version, revision := built()
	a = &app{metrics: metrics.New(version, revision), queues: make(map[string]*limiter.Queue)}
	a.health = a.metrics.Health
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	upstream, err := url.Parse(c.Upstream.URL)
	if err != nil {
		return nil, err
	}
	upstream.Path = ""
	report := newReporter(a.metrics, log)
	o := proxy.Options{
		Upstream: upstream, Timeout: time.Duration(c.Upstream.Timeout), Browsers: c.Browsers, Reach: reach(c.Listen, c.Hosts),
		MaxBody: int64(c.Limits.MaxBody), Observer: report,
		Bodies: &limiter.Bodies{Max: int64(c.Limits.QueueBytes)},
	}
	base := proxy.NewBase(c.Upstream.MaxInFlight)
	a.close = append(a.close, base.CloseIdleConnections)
	o.Base = base
	if o.Tools, err = tools(c.Tools); err != nil {
		return nil, err
	}
	o.Budgets = a.budgets(c.StateDir, log)
	for _, q := range c.Quotas {
		quota, err := a.quota(c, q, report, log)
		if err != nil {
			return nil, err
		}
		o.Quotas = append(o.Quotas, quota)
	}
	for _, k := range c.Credentials {
		o.Credentials = append(o.Credentials, proxy.Credential{Name: k.Name, Source: source(k), Quota: k.Quota})
	}
	if a.cache, err = cache.New(cache.Options{MaxSize: int64(c.Cache.MaxSize), MaxBody: int64(c.Cache.MaxBody), Throttled: proxy.Throttled, Line: proxy.Line{}, FillTimeout: fillTimeout(c)}); err != nil {
		return nil, err
	}
	a.close = append(a.close, a.cache.Close)
	a.metrics.CacheState(a.cache.Size)
	o.Cache = a.cache
	o.Rules, o.Drops = rules(c.Cache)
	if a.proxy, err = proxy.New(o); err != nil {
		return nil, err
	}
	for name := range a.proxy.Problems() {
		check := func() error { return a.proxy.Problems()[name] }
		a.metrics.Credential(name, func() bool { return check() == nil })
		a.health.Check("credential "+name, check)
	}
	a.watch(report)
	return a, nil
}

// watch samples what the status page shows, and logs what changes.
func (a *app) watch(report *reporter) {
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { a.metrics.Watch(ctx, report.watched) })
	a.close = append(a.close, func() { stop(); watching.Wait() })
}

// quota starts one line with the level and the pause that the last process left.
func (a *app) quota(c Config, q Quota, report *reporter, log *zap.Logger) (proxy.Quota, error) {
	bucket, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
	if err != nil {
		return proxy.Quota{}, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	state := limiter.OpenState(c.StateDir, q.Name)
	paused, err := state.Restore(bucket)
	if err != nil {
		log.Warn("the quota starts with an empty bucket", zap.String("quota", q.Name), zap.Error(err))
	}
	a.health.Check("state of quota "+q.Name, func() error {
		if err := state.Err(); err != nil {
			return fmt.Errorf("state_dir cannot be written, so a restart begins with an empty bucket: %w", err)
		}
		return nil
	})
	var queue *limiter.Queue
	names := make([]string, 0, len(c.Tools))
	for _, t := range c.Tools {
		names = append(names, t.Name)
	}
	a.health.Check("line of quota "+q.Name, func() error { return stuck(queue.State().Oldest, time.Duration(q.MaxWait)) })
	counts := a.metrics.Quota(q.Name, names)
	a.metrics.QuotaState(q.Name, func() metrics.QuotaState {
		s := queue.State()
		return metrics.QuotaState{Tokens: s.Tokens, Burst: s.Burst, Rate: s.Rate, Paused: s.Paused, PausedFor: s.PausedFor, PauseTotal: s.PauseTotal, Length: s.Waiting, Oldest: s.Oldest, Capacity: s.Capacity, InFlight: s.InFlight}
	})
	report.quotas[q.Name] = counts
	queue = limiter.New(limiter.Options{
		Bucket: bucket, MaxInFlight: c.Upstream.MaxInFlight, MaxWait: time.Duration(q.MaxWait), MaxQueue: q.MaxQueue,
		DefaultPause: time.Duration(q.DefaultPause), MaxPause: time.Duration(q.MaxPause), Paused: paused, Keeper: state, Observer: counts,
	})
	a.queues[q.Name] = queue
	a.close = append(a.close, queue.Close)
	return proxy.Quota{Name: q.Name, Queue: queue, Rate: q.Rate, Burst: q.Burst, MaxWait: time.Duration(q.MaxWait)}, nil
}

// A call leaves the line at its longest wait at the latest. This much later is not the machine being slow.
const stuckAfter = 10 * time.Second

// stuck tells that a line stands still although nothing keeps it: a fault of ours, which a restart mends.
func stuck(oldest, maxWait time.Duration) error {
	if oldest <= maxWait+stuckAfter {
		return nil
	}
	return fmt.Errorf("the call that came first has waited %v, and none may wait longer than %v: the line is stuck; restart roamproxy, and report it with what /debug/pprof/goroutine?debug=2 shows (admin.debug: true)", oldest.Round(time.Second), maxWait)
}

// budgets opens the counts of the day.
func (a *app) budgets(dir string, log *zap.Logger) *proxy.Budgets {
	b, err := proxy.OpenBudgets(dir)
	if err != nil {
		log.Warn("calls_per_day", zap.Error(err))
	}
	a.health.Check("calls of the day", func() error {
		if err := b.Err(); err != nil {
			return fmt.Errorf("state_dir cannot be written, so a restart forgets what tools spent of calls_per_day: %w", err)
		}
		return nil
	})
	return b
}

// reach tells who can connect to an address.
func reach(listen string, hosts []string) proxy.Reach {
	return proxy.Reach{Socket: socketPath(listen) != "", Loopback: loopback(listen), Hosts: hosts}
}

// fillTimeout covers the longest wait, the call, and as much again for its answer.
func fillTimeout(c Config) time.Duration {
	longest := time.Duration(0)
	for _, q := range c.Quotas {
		longest = max(longest, time.Duration(q.MaxWait))
	}
	return longest + 2*time.Duration(c.Upstream.Timeout)
}

func source(k Credential) credential.Source {
	if k.APIKeyFile != "" {
		return credential.NewFile(k.APIKeyFile)
	}
	return credential.Key{Value: k.APIKey}
}

func tools(configured []Tool) ([]proxy.Tool, error) {
	var all []proxy.Tool
	for _, t := range configured {
		tool := proxy.Tool{Name: t.Name, Credential: t.Credential, Weight: t.Weight, MaxQueue: t.MaxQueue, MaxWait: time.Duration(t.MaxWait), CallsPerDay: t.CallsPerDay, Allow: t.Allow}
		for _, sum := range t.TokenSHA256 {
			raw, err := hex.DecodeString(sum)
			if err != nil || len(raw) != sha256.Size {
				return nil, fmt.Errorf("tool %s: token_sha256 is not a SHA-256", t.Name)
			}
			tool.Tokens = append(tool.Tokens, [sha256.Size]byte(raw))
		}
		if t.TokenFile != "" {
			content, err := os.ReadFile(t.TokenFile)
			if err != nil {
				return nil, fmt.Errorf("tool %s: %w", t.Name, err)
			}
			token := strings.TrimSpace(string(content))
			if token == "" {
				return nil, fmt.Errorf("tool %s: %s is empty", t.Name, t.TokenFile)
			}
			tool.Tokens = append(tool.Tokens, sha256.Sum256([]byte(token)))
		}
		if len(tool.Tokens) == 0 {
			return nil, errors.New("tool " + t.Name + " has no token")
		}
		all = append(all, tool)
	}
	return all, nil
}

func rules(c Cache) (rules []proxy.Rule, drops []proxy.Drop) {
	for _, r := range c.Rules {
		rules = append(rules, proxy.Rule{Match: r.Match, KeyBody: r.KeyBody, Rule: cache.Rule{TTL: time.Duration(r.TTL.Duration), Stale: time.Duration(r.Stale), Origin: r.TTL.Origin}})
	}
	for _, d := range c.Drop {
		drops = append(drops, proxy.Drop{After: d.After, Routes: d.Routes})
	}
	return rules, drops
}
