package server

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter"
	"roamproxy/metrics"
)

// line is one quota's line with what belongs to it. It outlives snapshots: its level, its pause and who waits in it are Roam's
// truth and the tools', not the configuration's.
type quota struct {
	name   string
	queue  *limiter.Queue
	open   *limiter.OpenResponses
	bucket bucket
	fleet  *limiter.Fleet // that the bucket is shared by; nil: by none
}

// bucket is a Local of this process, or a Redis that is shared.
type bucket interface {
	limiter.Bucket
	Reconfigure(perSecond, burst float64, jitter time.Duration) error
}

// line starts one with the level and the pause that the last process left.
func (a *app) newQuota(c config.Config, q config.Quota, fleet *limiter.Fleet) (*quota, error) {
	local, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
	if err != nil {
		return nil, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	state := limiter.OpenState(a.state, q.Name)
	paused, err := state.Restore(local)
	if err != nil {
		a.log.Warn("the quota starts with an empty bucket", zap.String("quota", q.Name), zap.Error(err))
	}
	a.health.Check("state of quota "+q.Name, func() error {
		if err := state.Err(); err != nil {
			return fmt.Errorf("state_dir cannot be written, so a restart begins with an empty bucket: %w", err)
		}
		return nil
	})
	l := &quota{name: q.Name, bucket: local, fleet: fleet, open: limiter.NewOpenResponses(c.Upstream.MaxOpen)}
	if fleet != nil { // which knows the level better
		if l.bucket, err = newBucket(q, fleet); err != nil {
			return nil, err
		}
	}
	o := bounds(c, q)
	o.Bucket, o.Paused, o.Keeper, o.Observer = l.bucket, paused, state, l.counts(a.metrics, c.Tools)
	l.queue = limiter.New(o)
	return l, nil
}

func newBucket(q config.Quota, fleet *limiter.Fleet) (b bucket, err error) {
	if fleet != nil {
		b, err = fleet.Bucket(q.Name, q.Rate, q.Burst, time.Duration(q.Jitter))
	} else {
		b, err = limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
	}
	if err != nil {
		return nil, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	return b, nil
}

// configure puts the present numbers of a quota into force, and the fleet that it is shared by. Pause and whoever waits stay as
// they are, and so does the level unless the fleet is another one.
func (a *app) configure(l *quota, c config.Config, q config.Quota, fleet *limiter.Fleet) {
	if l.fleet != fleet {
		was := l.bucket
		l.bucket, _ = newBucket(q, fleet) // cannot fail: build made a bucket like it
		l.fleet = fleet
		l.queue.Replace(l.bucket)
		goodbye(was)
	}
	l.bucket.Reconfigure(q.Rate, q.Burst, time.Duration(q.Jitter)) // cannot fail: build made a bucket like it
	l.queue.Reconfigure(bounds(c, q))
	l.open.Resize(c.Upstream.MaxOpen)
	a.metrics.QuotaState(q.Name, func() metrics.QuotaState { return l.state(c, q) })
	a.health.Check("queue of quota "+q.Name, func() error { return stuck(l.queue.State().Oldest, time.Duration(q.MaxWait)) })
}

func bounds(c config.Config, q config.Quota) limiter.Options {
	return limiter.Options{
		MaxInFlight: c.Upstream.MaxInFlight, MaxWait: time.Duration(q.MaxWait), MaxQueue: q.MaxQueue,
		DefaultPause: time.Duration(q.DefaultPause), MaxPause: time.Duration(q.MaxPause), Adapt: q.Adapt,
	}
}

// counts has every tool's series there from the start.
func (l *quota) counts(m *metrics.Metrics, tools []config.Tool) *metrics.Quota {
	names := make([]string, 0, len(tools))
	for _, t := range tools {
		names = append(names, t.Name)
	}
	return m.Quota(l.name, names)
}

// state is what a scrape asks for.
func (l *quota) state(c config.Config, q config.Quota) metrics.QuotaState {
	s := l.queue.State()
	return metrics.QuotaState{
		Tokens: s.Tokens, Burst: s.Burst, Rate: s.Rate, ConfiguredRate: q.Rate, ConfiguredBurst: q.Burst,
		Paused: s.Paused, PausedFor: s.PausedFor, PauseTotal: s.PauseTotal, Length: s.Waiting, Oldest: s.Oldest, Jitter: s.Jitter, Capacity: s.Capacity, InFlight: s.InFlight, MaxInFlight: c.Upstream.MaxInFlight,
		MaxOpen: c.Upstream.MaxOpen, Slots: l.open.Calls(), Open: l.open.Open(),
		Shared: s.Shared, Replicas: s.Replicas,
	}
}

// drop ends a line that no configuration names any more.
func (a *app) drop(name string) {
	a.quotas[name].queue.Close()
	goodbye(a.quotas[name].bucket)
	delete(a.quotas, name)
	a.metrics.QuotaState(name, nil)
	a.health.Check("state of quota "+name, nil)
	a.health.Check("queue of quota "+name, nil)
}

// goodbye tells the other replicas of a bucket, where there are any, that this one asks no more.
func goodbye(b bucket) {
	if shared, ok := b.(*limiter.Redis); ok {
		shared.Close()
	}
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
