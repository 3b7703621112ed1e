package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"roamproxy/cache"
	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter"
	"roamproxy/limiter/statefile"
	"roamproxy/metrics"
	"roamproxy/metrics/status"
	"roamproxy/proxy"
	"roamproxy/proxy/credential"
)

// app is all of roamproxy but its listeners. What lives as long as the process is here; what follows from the configuration is
// in a generation, which a reload replaces:
//
//	tools ──► app ──► generation: proxy ──► cache
//	                                │
//	                                └─────► limiter (one line a quota) ──► Roam
//	                                ▼
//	                            reporter ──► metrics, log
type app struct {
	log     *zap.Logger
	own     []net.Addr // where we listen
	state   *statefile.Dir
	metrics *metrics.Metrics
	monitor *status.Monitor
	health  *metrics.Health
	report  *reporter
	budgets *proxy.Budgets

	mu  sync.RWMutex // guards now; held for reading while a request enters a generation, so that none enters a replaced one
	now *generation

	changing sync.Mutex // one change at a time; guards lines
	lines    map[string]*line
	behind   sync.WaitGroup // what goes on beside the requests, until stopping is done
	stopping context.Context
	stop     context.CancelFunc
	leaving  atomic.Bool // the process is about to stop
}

// wire builds an app out of a configuration that was checked. own is where we listen, which must not be Roam.
func wire(c config.Config, log *zap.Logger, own ...net.Addr) (*app, error) {
	version, revision := built()
	state, err := statefile.Open(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	recent := status.NewRecent()
	a := &app{log: log, own: own, state: state, metrics: metrics.New(version, revision, recent), lines: make(map[string]*line)}
	a.monitor = status.New(a.metrics, recent)
	a.stopping, a.stop = context.WithCancel(context.Background())
	a.health, a.report = a.metrics.Health, newReporter(a.metrics, log)
	a.budgets = a.openBudgets()
	if err := a.change(c); err != nil {
		return nil, err
	}
	a.metrics.CacheState(func() (int64, int) { return a.current().cache.Size() })
	a.behind.Go(func() { a.monitor.Watch(a.stopping, a.report.watched) }) // what the status page shows, and what the log says of changes
	return a, nil
}

// ServeHTTP answers with the configuration that is in force when the request comes.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := a.enter()
	defer g.users.Done()
	if a.leaving.Load() {
		w.Header().Set("Connection", "close") // so that nobody sends the next call into a connection that is about to end
	}
	g.proxy.ServeHTTP(w, r)
}

// enter is the present generation with one more user, who is to tell when he is done.
func (a *app) enter() *generation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.now.users.Add(1)
	return a.now
}

func (a *app) current() *generation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.now
}

// Close ends everything. No request may be under way.
func (a *app) Close() {
	a.stop()
	a.behind.Wait()
	g := a.current()
	g.cache.Close()
	a.closeLines()
	if g.fleet != nil {
		g.fleet.Close()
	}
	g.base.CloseIdleConnections()
}

// queues are those of all quotas, by name, with those that are being left.
func (a *app) queues() map[string]*limiter.Queue {
	a.changing.Lock()
	defer a.changing.Unlock()
	all := make(map[string]*limiter.Queue)
	for name, l := range a.lines {
		all[name] = l.queue
	}
	return all
}

// closeLines refuses all who wait in any line.
func (a *app) closeLines() {
	for _, q := range a.queues() {
		q.Close()
	}
}

// openBudgets opens the counts of the day.
func (a *app) openBudgets() *proxy.Budgets {
	b, err := proxy.OpenBudgets(a.state)
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

// reach tells who can connect to an address.
func reach(listen string, hosts []string) proxy.Reach {
	return proxy.Reach{Socket: config.SocketPath(listen) != "", Loopback: config.IsLoopback(listen), Hosts: hosts}
}

// fillTimeout covers the longest wait, the call, and as much again for its answer.
func fillTimeout(c config.Config) time.Duration {
	longest := time.Duration(0)
	for _, q := range c.Quotas {
		longest = max(longest, time.Duration(q.MaxWait))
	}
	return longest + 2*time.Duration(c.Upstream.Timeout)
}

func source(k config.Credential, dir *statefile.Dir, base http.RoundTripper) credential.Source {
	if k.OAuth.IsSet() {
		return credential.NewOAuth(oauth(k, dir, base))
	}
	if k.APIKeyFile != "" {
		return credential.NewFile(k.APIKeyFile)
	}
	return credential.Key{Value: k.APIKey}
}

func tools(configured []config.Tool) ([]proxy.Tool, error) {
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

func rules(c config.Cache) (rules []proxy.Rule, drops []proxy.Drop) {
	for _, r := range c.Rules {
		rules = append(rules, proxy.Rule{Match: r.Match, KeyBody: r.KeyBody, PageSize: r.PageSize, Rule: cache.Rule{TTL: time.Duration(r.TTL.Duration), Stale: time.Duration(r.Stale), Origin: r.TTL.Origin}})
	}
	for _, d := range c.Drop {
		drops = append(drops, proxy.Drop{After: d.After, Routes: d.Routes})
	}
	return rules, drops
}
