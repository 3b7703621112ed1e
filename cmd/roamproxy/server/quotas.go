package server

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/limiter"
	"roamproxy/limiter/quotafile"
	"roamproxy/limiter/redisquota"
	"roamproxy/limiter/transport"
	"roamproxy/metrics"
)

// quota is one quota's queue and what belongs to it. It outlives config snapshots: level, pause and queued calls are facts about Roam
// and the tools, and not part of the configuration.
type quota struct {
	name    string
	queue   *limiter.Queue
	open    *transport.OpenResponses
	bucket  bucket
	session *redisquota.Session // shares the bucket; nil: no replicas
}

// bucket is the token bucket of a quota, in this process or in Redis, with the operations that depend on where it is.
type bucket struct {
	limiter.Bucket
	sharing     limiter.Sharing // nil: no replicas
	reconfigure func(config.Quota) error
	close       func() // reports to other replicas that this one needs no share
}

// newQuota starts a quota with the level and the pause in state_dir.
func (a *app) newQuota(c config.Config, q config.Quota, session *redisquota.Session) (*quota, error) {
	local, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
	if err != nil {
		return nil, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	state := quotafile.Open(a.state, q.Name)
	restored, err := state.Restore(local)
	if err != nil {
		a.log.Warn("the state of the quota is not used", zap.String("quota", q.Name), zap.Error(err))
	}
	a.health.Check("state of quota "+q.Name, func() error {
		if err := state.Err(); err != nil {
			return fmt.Errorf("state_dir cannot be written, so a restart begins with an empty bucket: %w", err)
		}
		return nil
	})
	l := &quota{name: q.Name, bucket: localBucket(local), session: session, open: transport.NewOpenResponses(c.Upstream.MaxOpen)}
	if session != nil { // Redis has the level
		if l.bucket, err = newBucket(q, session); err != nil {
			return nil, err
		}
	}
	o := bounds(c, q)
	o.Bucket, o.Sharing, o.Paused, o.Learned = l.bucket.Bucket, l.bucket.sharing, restored.Paused, restored.Learned
	o.Keeper, o.Observer = state, queueObserver{l.counts(a.metrics, c.Tools)}
	l.queue = limiter.New(o)
	return l, nil
}

// newBucket returns a bucket that the session shares, or a local one without a session.
func newBucket(q config.Quota, session *redisquota.Session) (bucket, error) {
	if session == nil {
		local, err := limiter.NewLocal(q.Rate, q.Burst, time.Duration(q.Jitter))
		if err != nil {
			return bucket{}, fmt.Errorf("quota %s: %w", q.Name, err)
		}
		return localBucket(local), nil
	}
	b, err := session.Bucket(q.Name, q.Rate, q.Burst, time.Duration(q.Jitter), time.Duration(q.MaxPause))
	if err != nil {
		return bucket{}, fmt.Errorf("quota %s: %w", q.Name, err)
	}
	return bucket{b, b, func(q config.Quota) error {
		return b.Reconfigure(q.Rate, q.Burst, time.Duration(q.Jitter), time.Duration(q.MaxPause))
	}, b.Close}, nil
}

func localBucket(b *limiter.Local) bucket {
	return bucket{b, nil, func(q config.Quota) error { return b.Reconfigure(q.Rate, q.Burst, time.Duration(q.Jitter)) }, func() {}}
}

// configure applies the configuration of a quota, and the session that shares it. Pause and queued calls stay. The level stays too,
// unless the session is another one.
func (a *app) configure(l *quota, c config.Config, q config.Quota, session *redisquota.Session) {
	if l.session != session {
		was := l.bucket
		l.bucket, _ = newBucket(q, session) // cannot fail: build created an equal bucket
		l.session = session
		l.queue.Replace(l.bucket.Bucket, l.bucket.sharing)
		was.close()
	}
	l.bucket.reconfigure(q) // cannot fail: build created an equal bucket
	l.queue.Reconfigure(bounds(c, q))
	l.open.Resize(c.Upstream.MaxOpen)
	a.metrics.QuotaState(q.Name, func() metrics.QuotaState { return l.state(c, q) })
	a.health.Note("quota "+q.Name, func() string {
		if left := l.queue.State().HeldFor; left > 0 {
			return fmt.Sprintf("paused by hand for another %v", left.Round(time.Second))
		}
		return ""
	})
	a.health.Check("queue of quota "+q.Name, func() error { return stuck(l.queue.State().Oldest, 2*time.Duration(q.MaxWait)) })
}

func bounds(c config.Config, q config.Quota) limiter.Options {
	return limiter.Options{
		MaxInFlight: c.Upstream.MaxInFlight, MaxWait: time.Duration(q.MaxWait), MaxQueue: q.MaxQueue,
		DefaultPause: time.Duration(q.DefaultPause), MaxPause: time.Duration(q.MaxPause), Adapt: q.Adapt, Reserve: q.Reserve,
		Jitter: time.Duration(q.Jitter),
	}
}

// counts returns the quota's counters, with a series for each configured tool from the start.
func (q *quota) counts(m *metrics.Metrics, tools []config.Tool) *metrics.Quota {
	names := make([]string, 0, len(tools))
	for _, t := range tools {
		names = append(names, t.Name)
	}
	return m.Quota(q.name, names)
}

// state returns what a scrape reports of the quota.
func (q *quota) state(c config.Config, configured config.Quota) metrics.QuotaState {
	s := q.queue.State()
	return metrics.QuotaState{
		Tokens: s.Tokens, Burst: s.Burst, Rate: s.Rate, ConfiguredRate: configured.Rate, ConfiguredBurst: configured.Burst,
		Paused: s.Paused, PausedFor: s.PausedFor, PauseTotal: s.PauseTotal, HeldFor: s.HeldFor, Length: s.Waiting, Oldest: s.Oldest,
		Jitter: s.Jitter, Capacity: s.Capacity, InFlight: s.InFlight, MaxInFlight: c.Upstream.MaxInFlight,
		MaxOpen: c.Upstream.MaxOpen, Slots: q.open.Calls(), Open: q.open.Open(),
		Shared: s.Shared, Replicas: s.Replicas,
	}
}

// remove closes a quota that the configuration does not name any more.
func (a *app) remove(name string) {
	a.quotas[name].queue.Close()
	a.quotas[name].bucket.close()
	delete(a.quotas, name)
	a.metrics.QuotaState(name, nil)
	a.health.Check("state of quota "+name, nil)
	a.health.Check("queue of quota "+name, nil)
	a.health.Note("quota "+name, nil)
}

// stuckAfter is how much later than its longest wait a call must be for the queue to count as stuck. A busy machine alone does not
// delay a call this long.
const stuckAfter = 10 * time.Second

// stuck returns an error when a queue does not move although nothing blocks it: a fault of roamproxy, which a restart repairs.
func stuck(oldest, maxWait time.Duration) error {
	if oldest <= maxWait+stuckAfter {
		return nil
	}
	return fmt.Errorf("the oldest call has waited %v, and none may wait longer than %v: the queue is stuck; restart roamproxy, "+
		"and report it with the output of /debug/pprof/goroutine?debug=2 (admin.debug: true)", oldest.Round(time.Second), maxWait)
}
