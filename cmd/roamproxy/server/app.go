package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter"
	"roamproxy/limiter/statefile"
	"roamproxy/limiter/transport"
	"roamproxy/metrics"
	"roamproxy/metrics/status"
	"roamproxy/proxy"
	"roamproxy/proxy/budget"
	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/repeat"
)

// app is roamproxy without its listeners. It holds what lives as long as the process. What follows from the configuration is in a
// config snapshot, which a reload replaces:
//
//	tools ──► app ──► snapshot: proxy ──► cache
//	                                │
//	                                └─────► limiter (one queue a quota) ──► Roam
//	                                ▼
//	                            observer ──► metrics, log
type app struct {
	log      *zap.Logger
	own      []net.Addr // addresses of our listeners
	state    *statefile.Dir
	monitor  *status.Monitor
	metrics  *metrics.Metrics
	health   *metrics.Health
	observer *observer
	budgets  *budget.Counts
	writes   *repeat.Memory       // outlive a reload
	streams  *eventstream.Streams // outlive a reload

	webhooks webhooks

	connections *transport.Shares // connections with a request in progress, by tool

	mu  sync.RWMutex // guards now; held for reading while a request enters a snapshot, so that none enters a replaced one
	now *snapshot

	changing   sync.Mutex // held by one change at a time; guards quotas
	quotas     map[string]*quota
	background sync.WaitGroup // goroutines besides those of requests; Close waits for them
	ctx        context.Context
	cancel     context.CancelFunc
	draining   atomic.Bool // the process is stopping
}

// newApp returns an app with a valid configuration. own are the addresses of our listeners, at which Roam cannot be.
func newApp(c config.Config, log *zap.Logger, own ...net.Addr) (*app, error) {
	version, revision := Version()
	state, err := statefile.Open(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	recent := status.NewRecent()
	a := &app{
		log: log, own: own, state: state, writes: repeat.New(), streams: eventstream.New(), quotas: make(map[string]*quota),
		connections: transport.NewShares(0),
	}
	a.metrics = metrics.New(metrics.Options{Version: version, Revision: revision, Recorder: recent, MaxWaits: maxWaits(c), Reasons: reasons()})
	a.monitor = status.New(a.metrics, recent)
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.health, a.observer = a.metrics.Health, newObserver(a.metrics, log)
	a.budgets = a.openBudgets()
	a.observer.succeeded = func() { a.webhooks.revoked.Store(nil) }
	a.health.Check("webhooks", a.webhooks.credentialGone)
	if err := a.change(c); err != nil {
		return nil, err
	}
	a.metrics.ToolState(a.toolState)
	a.metrics.CacheState(func() (int64, int) { return a.current().cache.Size() })
	// for the status page, and for the log of what changes
	a.background.Go(func() { a.monitor.Watch(a.ctx, a.observer.statusChanged) })
	return a, nil
}

// maxWaits returns the longest wait of each quota.
func maxWaits(c config.Config) (all []time.Duration) {
	for _, q := range c.Quotas {
		all = append(all, time.Duration(q.MaxWait))
	}
	return all
}

// reasons returns what the proxy's error codes mean.
func reasons() (all []metrics.Reason) {
	for _, r := range proxy.Reasons() {
		all = append(all, metrics.Reason{
			Code: string(r.Code), Text: r.Text, Refusal: r.Class != proxy.Failed,
			Limit: r.Class == proxy.ByLimit || r.Class == proxy.ByOwnLimit, Own: r.Class == proxy.ByOwnLimit,
		})
	}
	return all
}

// toolState returns the configured weight and budget of each tool, and its calls of today.
func (a *app) toolState() map[string]metrics.ToolState {
	all, used := make(map[string]metrics.ToolState), a.budgets.Used()
	for _, t := range a.current().config.Tools {
		all[t.Name] = metrics.ToolState{Weight: t.Weight, CallsPerDay: int(t.CallsPerDay), CallsToday: used[t.Name]}
	}
	return all
}

// ServeHTTP answers with the config snapshot that is current when the request arrives.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isLocal(r.URL.Path) {
		c := a.current().config
		proxy.Guard(http.HandlerFunc(answerLocally), reach(c.Listen, c.Hosts)).ServeHTTP(w, r)
		return
	}
	s := a.enter()
	defer s.users.Done()
	if a.draining.Load() {
		w.Header().Set("Connection", "close") // the connection is about to close
	}
	s.proxy.ServeHTTP(w, r)
}

// enter returns the current snapshot for one request, which calls users.Done at its end.
func (a *app) enter() *snapshot {
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.now.users.Add(1)
	return a.now
}

func (a *app) current() *snapshot {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.now
}

// Close stops all background work and closes queues, cache and connections. No request may be in progress.
func (a *app) Close() {
	a.cancel()
	a.writes.Close()
	a.background.Wait()
	s := a.current()
	s.cache.Close()
	a.closeQueues()
	if s.session != nil {
		s.session.Close()
	}
	s.base.CloseIdleConnections()
}

// queues returns the queues of all quotas by name, those included that a reload has removed and that still have requests.
func (a *app) queues() map[string]*limiter.Queue {
	a.changing.Lock()
	defer a.changing.Unlock()
	all := make(map[string]*limiter.Queue)
	for name, l := range a.quotas {
		all[name] = l.queue
	}
	return all
}

// Config returns the configuration in force.
func (a *app) Config() config.Config { return a.current().config }

// CloseIdleConnections closes the connections to Roam that carry no call.
func (a *app) CloseIdleConnections() { a.current().base.CloseIdleConnections() }

// QueueState returns the state of a quota's queue; the zero State where there is no such quota.
func (a *app) QueueState(quota string) limiter.State {
	if q := a.queues()[quota]; q != nil {
		return q.State()
	}
	return limiter.State{}
}

// closeQueues refuses all queued calls.
func (a *app) closeQueues() {
	for _, q := range a.queues() {
		q.Close()
	}
}

// openBudgets opens the daily budgets.
func (a *app) openBudgets() *budget.Counts {
	b, err := budget.Open(a.state)
	if err != nil {
		a.log.Warn("calls_per_day", zap.Error(err))
	}
	a.health.Check("calls of the day", func() error {
		if !slices.ContainsFunc(a.current().config.Tools, func(t config.Tool) bool { return t.CallsPerDay > 0 }) {
			return nil
		}
		return b.Err()
	})
	return b
}

// reach describes who can connect to an address.
func reach(listen string, hosts []string) proxy.Reach {
	return proxy.Reach{Socket: config.SocketPath(listen) != "", Loopback: config.IsLoopback(listen), Hosts: hosts}
}

// fillTimeout returns the deadline of a fill: the longest wait, the call, and as much again for reading its answer.
func fillTimeout(c config.Config) time.Duration {
	wait, silence := time.Duration(0), 2*time.Minute // the built-in timeout of *.prompt
	for _, q := range c.Quotas {
		wait = max(wait, time.Duration(q.MaxWait))
	}
	for _, r := range c.Routes {
		if r.MaxWait != nil {
			wait = max(wait, time.Duration(*r.MaxWait))
		}
		if r.Timeout != nil {
			silence = max(silence, time.Duration(*r.Timeout))
		}
	}
	return 2*wait + 2*max(silence, time.Duration(c.Upstream.Timeout)) // an admitted call waits up to twice as long
}
