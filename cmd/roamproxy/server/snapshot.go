package server

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"sync"
	"time"

	"roamproxy/cache"
	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter"
	"roamproxy/limiter/redisquota"
	"roamproxy/limiter/transport"
	"roamproxy/metrics"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
)

// snapshot is one configuration in use. A request ends in the snapshot in which it began, even after a reload. A new snapshot takes over
// the parts of the old one that its configuration does not change.
type snapshot struct {
	config  config.Config
	proxy   *proxy.Proxy
	cache   *cache.Cache
	bodies  *transport.Bodies
	base    *proxy.Transport
	session *redisquota.Session // shares quotas, budgets and answers; nil: no replicas
	sources map[string]credential.Source
	users   sync.WaitGroup // requests in progress
}

// change applies a valid configuration. After an error everything is as before.
func (a *app) change(c config.Config) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	last := a.now // written only below, with both locks held
	if last == nil {
		last = &snapshot{}
	}
	receiver := a.webhooks.receiver.Load()
	if last.proxy == nil || !reflect.DeepEqual(c.Webhooks, last.config.Webhooks) {
		var err error
		if receiver, err = a.newReceiver(c.Webhooks); err != nil {
			return err
		}
	}
	s, err := a.build(c, last)
	if err != nil {
		return err
	}
	a.webhooks.receiver.Store(receiver)
	a.webhooks.trust.Store(int64(c.Webhooks.Trust))
	a.connections.Resize(shareOfConnections(c.Limits.MaxConnections))
	for _, q := range c.Quotas {
		a.configure(a.quotas[q.Name], c, q, s.session)
	}
	if s.session != last.session {
		a.setSession(s.session, c.Redis)
	}
	a.writes.Configure(time.Duration(c.Writes.Remember), sharedWrites(c, s.session))
	a.mu.Lock()
	a.now = s
	a.mu.Unlock()
	for name := range s.sources {
		check := func() error { return a.current().proxy.Problems()[name] }
		a.metrics.Credential(name, func() bool { return check() == nil })
		a.health.Check("credential "+name, check)
	}
	for name := range last.sources {
		if s.sources[name] == nil {
			a.metrics.Credential(name, nil)
			a.health.Check("credential "+name, nil)
		}
	}
	if last.proxy != nil {
		a.background.Go(func() { a.retire(last, s) })
	}
	return nil
}

// shareOfConnections returns the size of the tools' Shares of all connections. A tool may take the whole size, and all tools together one
// and a half times it.
func shareOfConnections(limit int) int64 { return max(int64(limit)*2/3, 1) }

// build returns the snapshot of a configuration. It takes over from last what did not change.
func (a *app) build(c config.Config, last *snapshot) (s *snapshot, err error) {
	s = &snapshot{config: c, cache: last.cache, bodies: last.bodies, base: last.base, session: last.session,
		sources: make(map[string]credential.Source)}
	var undo []func()
	defer func() {
		if err == nil {
			return
		}
		for _, u := range slices.Backward(undo) {
			u()
		}
	}()
	upstream, err := url.Parse(c.Upstream.URL)
	if err != nil {
		return nil, err
	}
	upstream.Path = ""
	if err := proxy.CheckLoop(a.ctx, upstream, a.own); err != nil {
		return nil, err
	}
	// the content of a CA file may have changed
	if s.base == nil || c.Upstream.MaxInFlight != last.config.Upstream.MaxInFlight || c.Upstream.CAFile != "" ||
		last.config.Upstream.CAFile != "" {
		if s.base, err = proxy.NewTransport(proxy.TransportOptions{MaxInFlight: c.Upstream.MaxInFlight, CAFile: c.Upstream.CAFile,
			Own: a.own}); err != nil {
			return nil, err
		}
	}
	if s.bodies == nil || c.Limits.QueueBytes != last.config.Limits.QueueBytes {
		s.bodies = transport.NewBodies(int64(c.Limits.QueueBytes), "")
	}
	if c.Redis != last.config.Redis {
		if s.session, err = a.share(c.Redis); err != nil {
			return nil, err
		}
		if s.session != nil {
			undo = append(undo, s.session.Close)
		}
	}
	if s.cache == nil || !sameAnswers(c, last.config) {
		if s.cache, err = cache.New(cache.Options{MaxSize: int64(c.Cache.MaxSize), MaxBody: int64(c.Cache.MaxBody), Throttled: proxy.IsThrottled,
			FillTimeout: fillTimeout(c), Shared: sharedAnswers(c, s.session)}); err != nil {
			return nil, err
		}
		undo = append(undo, s.cache.Close)
	}
	report := snapshotObserver{a.observer, make(map[string]*metrics.Quota)}
	o := proxy.Options{
		Upstream: upstream, Timeout: time.Duration(c.Upstream.Timeout), Browsers: c.Browsers, Reach: reach(c.Listen, c.Hosts),
		MaxBody: int64(c.Limits.MaxBody), MaxCalls: c.MaxCalls(), Connections: a.connections, Observer: report, Bodies: s.bodies,
		Base: s.base, Cache: s.cache, Budgets: a.budgets, Writes: a.writes, Streams: a.streams,
	}
	o.Tables, o.Webhooks = Tables(c), a.webhooksArrive
	if o.Tools, err = proxyTools(c.Tools); err != nil {
		return nil, err
	}
	for _, q := range c.Quotas {
		l := a.quotas[q.Name]
		if _, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter)); err != nil {
			return nil, fmt.Errorf("quota %s: %w", q.Name, err)
		}
		if l == nil {
			if l, err = a.newQuota(c, q, s.session); err != nil {
				return nil, err
			}
			a.quotas[q.Name] = l
			undo = append(undo, func() { a.remove(q.Name) })
		}
		report.quotas[q.Name] = l.counts(a.metrics, c.Tools)
		o.Quotas = append(o.Quotas, proxy.Quota{Name: q.Name, Queue: l.queue, Open: l.open, Rate: q.Rate, Burst: q.Burst,
			MaxWait: time.Duration(q.MaxWait)})
	}
	for _, k := range c.Credentials {
		if before := find(last.config.Credentials, k.Name); before != nil && sameSecret(k, *before) && s.base == last.base {
			s.sources[k.Name] = last.sources[k.Name]
		} else {
			s.sources[k.Name] = Source(k, a.state, s.base)
		}
		o.Credentials = append(o.Credentials, proxy.Credential{Name: k.Name, Source: s.sources[k.Name], Quota: k.Quota})
	}
	s.proxy, err = proxy.New(o)
	return s, err
}

// retire closes what only the old snapshot uses, after its last request and after every fill that may outlive a request.
func (a *app) retire(old, next *snapshot) {
	gone := make(chan struct{})
	go func() { old.users.Wait(); close(gone) }()
	select {
	case <-gone:
		select {
		case <-time.After(fillTimeout(old.config)):
		case <-a.ctx.Done():
		}
	case <-a.ctx.Done():
	}
	if old.cache != next.cache {
		old.cache.Close()
	}
	if old.base != next.base {
		old.base.CloseIdleConnections()
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	for _, name := range slices.Collect(maps.Keys(a.quotas)) {
		if !slices.ContainsFunc(a.now.config.Quotas, func(q config.Quota) bool { return q.Name == name }) {
			a.remove(name)
		}
	}
	if old.session != next.session && old.session != nil {
		old.session.Close()
	}
}

// sameAnswers reports whether the cache of one configuration can serve the other. Credentials do not matter: the keys of entries hold
// the secret's partition.
func sameAnswers(c, last config.Config) bool {
	return c.Redis == last.Redis && c.Upstream.URL == last.Upstream.URL && c.Cache.MaxSize == last.Cache.MaxSize &&
		c.Cache.MaxBody == last.Cache.MaxBody && fillTimeout(c) == fillTimeout(last)
}

// sameSecret reports whether two credentials get their secret in the same way. Their quotas may differ.
func sameSecret(a, b config.Credential) bool {
	a.Quota = b.Quota
	return reflect.DeepEqual(a, b)
}

func find(all []config.Credential, name string) *config.Credential {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}
