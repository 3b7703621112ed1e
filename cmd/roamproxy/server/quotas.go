package server

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter"
	"roamproxy/limiter/redisquota"
	"roamproxy/metrics"
)

// quota is one quota's queue with what belongs to it. It outlives snapshots: level, pause and queued calls are facts about Roam and
// the tools, and no part of the configuration.
type quota struct {
	name    string
	queue   *limiter.Queue
	open    *limiter.OpenResponses
	bucket  bucket
	session *redisquota.Session // that the bucket is shared by; nil: this is the only process
}

// bucket is a quota's tokens in this process or in Redis, and how they are shared, changed and left.
type bucket struct {
	limiter.Bucket
	sharing     limiter.Sharing // nil: with no other process
	reconfigure func(config.Quota) error
	close       func() // the other replicas need not keep a share for this one
}

// newQuota starts a quota with the level and the pause that the last process left.
func (a *app) newQuota(c config.Config, q config.Quota, session *redisquota.Session) (*quota, error) {
	local, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
	if err != nil {
		return nil, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	state := limiter.OpenState(a.state, q.Name)
	restored, err := state.Restore(local)
	if err != nil {
		a.log.Warn("the quota starts with an empty bucket", zap.String("quota", q.Name), zap.Error(err))
	}
	a.health.Check("state of quota "+q.Name, func() error {
		if err := state.Err(); err != nil {
			return fmt.Errorf("state_dir cannot be written, so a restart begins with an empty bucket: %w", err)
		}
		return nil
	})
	l := &quota{name: q.Name, bucket: ofProcess(local), session: session, open: limiter.NewOpenResponses(c.Upstream.MaxOpen)}
	if session != nil { // Redis knows the level better
		if l.bucket, err = newBucket(q, session); err != nil {
			return nil, err
		}
	}
	o := bounds(c, q)
	o.Bucket, o.Sharing, o.Paused, o.Learned = l.bucket.Bucket, l.bucket.sharing, restored.Paused, restored.Learned
	o.Keeper, o.Observer = state, l.counts(a.metrics, c.Tools)
	l.queue = limiter.New(o)
	return l, nil
}

func newBucket(q config.Quota, session *redisquota.Session) (bucket, error) {
	if session == nil {
		local, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
		if err != nil {
			return bucket{}, fmt.Errorf("quota %s: %w", q.Name, err)
		}
		return ofProcess(local), nil
	}
	b, err := session.Bucket(q.Name, q.Rate, q.Burst, time.Duration(q.Jitter), time.Duration(q.MaxPause))
	if err != nil {
		return bucket{}, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	return bucket{b, b, func(q config.Quota) error {
		return b.Reconfigure(q.Rate, q.Burst, time.Duration(q.Jitter), time.Duration(q.MaxPause))
	}, b.Close}, nil
}

func ofProcess(b *limiter.Local) bucket {
	return bucket{b, nil, func(q config.Quota) error { return b.Reconfigure(q.Rate, q.Burst, time.Duration(q.Jitter)) }, func() {}}
}

// configure puts the present numbers of a quota into force, and the session that it is shared by. Pause and queued calls stay as
// they are, and so does the level unless the session is another one.
func (a *app) configure(l *quota, c config.Config, q config.Quota, session *redisquota.Session) {
	if l.session != session {
		was := l.bucket
		l.bucket, _ = newBucket(q, session) // cannot fail: build made a bucket like it
		l.session = session
		l.queue.Replace(l.bucket.Bucket, l.bucket.sharing)
		was.close()
	}
	l.bucket.reconfigure(q) // cannot fail: build made a bucket like it
	l.queue.Reconfigure(bounds(c, q))
	l.open.Resize(c.Upstream.MaxOpen)
	a.metrics.QuotaState(q.Name, func() metrics.QuotaState { return l.state(c, q) })
	a.health.Note("quota "+q.Name, func() string {
		if held := l.queue.State().HeldFor; held > 0 {
			return fmt.Sprintf("paused by hand for another %v", held.Round(time.Second))
		}
		return ""
	})
	a.health.Check("queue of quota "+q.Name, func() error { return stuck(l.queue.State().Oldest, 2*time.Duration(q.MaxWait)) })
}

func bounds(c config.Config, q config.Quota) limiter.Options {
	return limiter.Options{
		MaxInFlight: c.Upstream.MaxInFlight, MaxWait: time.Duration(q.MaxWait), MaxQueue: q.MaxQueue,
		DefaultPause: time.Duration(q.DefaultPause), MaxPause: time.Duration(q.MaxPause), Adapt: q.Adapt, Reserve: q.Reserve, Jitter: time.Duration(q.Jitter),
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
		Paused: s.Paused, PausedFor: s.PausedFor, PauseTotal: s.PauseTotal, HeldFor: s.HeldFor, Length: s.Waiting, Oldest: s.Oldest,
		Jitter: s.Jitter, Capacity: s.Capacity, InFlight: s.InFlight, MaxInFlight: c.Upstream.MaxInFlight,
		MaxOpen: c.Upstream.MaxOpen, Slots: l.open.Calls(), Open: l.open.Open(),
		Shared: s.Shared, Replicas: s.Replicas,
	}
}

// drop ends a quota that no configuration names any more.
func (a *app) drop(name string) {
	a.quotas[name].queue.Close()
	a.quotas[name].bucket.close()
	delete(a.quotas, name)
	a.metrics.QuotaState(name, nil)
	a.health.Check("state of quota "+name, nil)
	a.health.Check("queue of quota "+name, nil)
	a.health.Note("quota "+name, nil)
}

// A call leaves the queue at its longest wait at the latest. Being this much later is not due to a slow machine.
const stuckAfter = 10 * time.Second

// stuck reports that a queue does not move although nothing holds it: a fault of roamproxy, which a restart repairs.
func stuck(oldest, maxWait time.Duration) error {
	if oldest <= maxWait+stuckAfter {
		return nil
	}
	return fmt.Errorf("the call that came first has waited %v, and none may wait longer than %v: the queue is stuck; restart roamproxy, "+
		"and report it with what /debug/pprof/goroutine?debug=2 shows (admin.debug: true)", oldest.Round(time.Second), maxWait)
}
