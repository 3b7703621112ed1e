package redisquota

import (
	"context"
	"math"
	"sync"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/bootclock"
)

// Bucket is the limiter.Bucket and the limiter.Sharing of a quota that replicas share. While Redis is away it is a limiter.Local of
// rate/replicas. Take waits for Redis, but not for longer than twice its patience; everything else answers from the last reply.
type Bucket struct {
	session *Session
	key     string

	asking chan struct{} // of one place, taken while the script runs: replies are used in the order in which they were given

	mu         sync.Mutex // guards the following; no other lock is taken under it but that of alone
	configured limiter.Limits
	maxPause   time.Duration
	joined     bool
	replied    time.Time     // when the last reply came
	lease      time.Duration // that was asked for with it
	checked    time.Time     // when the server's run id was compared
	last       reply
	full       time.Time // the bucket is full then, as far as is known
	next       time.Time // there is no token for this replica before this
	active     time.Time // until then calls are queued here, as far as is known
	weight     int       // of the tools that wait
	alone      *limiter.Local
	earns      time.Time // alone earns no tokens before this

	asked, every time.Duration // the lease of the last request, and how often that is renewed
	pausedUntil  time.Time     // as far as is known

	learned  shared
	events   []limiter.Event
	returned int
	probing  bool // the last token was that of a probe, and no event about it was published yet
	follow   func(limiter.News)
}

var (
	_ limiter.Bucket  = (*Bucket)(nil)
	_ limiter.Sharing = (*Bucket)(nil)
)

// shared is what the replicas know together about the adaptive limit. It lies in Redis, with a generation, so that it outlives the
// replica that learned it.
type shared struct {
	limiter.AdaptState
	generation uint64 // of the value in Redis in the last reply
}

// Bucket returns this replica's end of the quota that is shared under this name. The numbers are those of limiter.NewLocal, and
// the whole quota's; the replicas should have the same. No pause that Redis reports is longer than maxPause.
//
// A quota that is not in Redis starts empty: it may have been spent a moment ago by replicas whose Redis lost it.
func (s *Session) Bucket(name string, perSecond, burst float64, jitter, maxPause time.Duration) (*Bucket, error) {
	b := &Bucket{
		session: s, key: "{" + s.o.Prefix + "}:quota:" + name, asking: make(chan struct{}, 1), follow: func(limiter.News) {},
	}
	if err := b.Reconfigure(perSecond, burst, jitter, maxPause); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.buckets = append(s.buckets, b)
	s.mu.Unlock()
	s.soon()
	return b, nil
}

// Reconfigure puts new numbers in force, and the level stays. An error changes nothing.
func (b *Bucket) Reconfigure(perSecond, burst float64, jitter, maxPause time.Duration) error {
	limits, err := limiter.NewLimits(perSecond, burst, jitter)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.configured, b.maxPause, b.next = limits, maxPause, time.Time{}
	share := perSecond / float64(b.session.o.Replicas)
	if b.alone != nil {
		return b.alone.Reconfigure(share, 1, 0)
	}
	if b.alone, err = limiter.NewLocal(share, 1, 0); err == nil {
		b.leaveAt(bootclock.Now())
	}
	return err
}

// Close leaves the quota in good order, so that the other replicas need not keep a share for this one.
func (b *Bucket) Close() {
	b.session.mu.Lock()
	others := b.session.buckets[:0:0]
	for _, other := range b.session.buckets {
		if other != b {
			others = append(others, other)
		}
	}
	gone := len(others) == len(b.session.buckets)
	b.session.buckets = others
	b.session.mu.Unlock()
	b.mu.Lock()
	joined := b.joined
	b.joined = false
	b.mu.Unlock()
	if joined && !gone {
		b.ask(context.Background(), func(q *request) { q.Bye, q.Calls = true, 0 }) // if it fails, a share is kept for a while
	}
}

// Take asks Redis for a token, or the share of this replica while Redis is away. With a token the reply says when the next will be
// there, so that each costs one request.
func (b *Bucket) Take(now time.Time, d limiter.Demand) time.Duration {
	b.mu.Lock()
	joined, early := b.joined, b.next.Sub(now)
	b.mu.Unlock()
	if joined && early > 0 {
		return early
	}
	if joined {
		r, err := b.ask(b.session.ctx, func(q *request) {
			q.Calls, q.Weight = max(d.Calls, 1), max(d.Weight, 1)
			q.Reserve, q.Margin = d.Reserve*float64(q.Every), d.Margin*float64(q.Every)
		})
		if err == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.whileHeld(bootclock.Now(), micros(r.Wait))
		}
		b.session.lost(err)
		b.session.soon()
		now = bootclock.Now()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	share := b.limits(now).Rate / float64(b.session.o.Replicas)
	b.alone.Reconfigure(share, 1, 0) // cannot fail: above 0
	early = max(b.earns.Sub(now), 0)
	if wait := b.alone.Take(now.Add(early), limiter.Demand{}); wait > 0 {
		return early + wait
	}
	return 0
}

// Return gives a token back with the next request, which is sent at once.
func (b *Bucket) Return(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if !b.joined {
		b.alone.Return(now)
		return
	}
	b.returned++
	b.next = time.Time{}
	b.full = b.full.Add(-micros(b.last.Every))
	b.session.soon()
}

// Level returns how many tokens there are, as far as is known: other replicas may have taken some since.
func (b *Bucket) Level(now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		if now.Before(b.earns) {
			return 0
		}
		return b.alone.Level(now)
	}
	missing := max(b.full.Sub(now).Microseconds(), 0)
	return min(max(float64(b.last.Burst-missing)/float64(b.last.Every), 0), b.limits(now).Burst)
}

// Limits returns the whole quota's, less the jitter's part of the burst.
func (b *Bucket) Limits() limiter.Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.configured
}

// limits returns what is in force at now, for all replicas together. The lock is held.
func (b *Bucket) limits(now time.Time) limiter.Limits { return b.learned.Limits(now, b.configured) }

// whileHeld returns a wait, or what is left of a hold if that is less: other limits are in force from there on. The lock is held.
func (b *Bucket) whileHeld(now time.Time, wait time.Duration) time.Duration {
	if held := b.learned.Holds(now); held > 0 {
		return min(wait, held)
	}
	return wait
}

// renew renews this replica's lease if that is due, and sends the events that wait. It returns when it is due again.
func (b *Bucket) renew() (again time.Duration, err error) {
	for {
		b.mu.Lock()
		interval, _ := b.interval(bootclock.Now())
		again = min(interval, b.every) - bootclock.Now().Sub(b.replied)
		waiting := !b.joined || len(b.events) > 0 || b.returned > 0
		b.mu.Unlock()
		if !waiting && again > 0 {
			return again, nil
		}
		if _, err := b.ask(b.session.ctx, func(*request) {}); err != nil {
			return 0, err
		}
	}
}

// interval returns how often this replica renews its lease, and the lease that it needs. A replica is active while calls are queued,
// and has a short lease then: cut off, it goes on alone after that. The lock is held.
func (b *Bucket) interval(now time.Time) (renewal, lease time.Duration) {
	if now.After(b.active) {
		return idleRenewal, idleLease
	}
	tokens := time.Duration(3 / b.limits(now).Rate * float64(time.Second))
	renewal = min(max(tokens, leastRenewal), mostRenewal)
	return renewal, max(renewal*5/2, leastLease)
}

// leave goes on alone.
func (b *Bucket) leave() {
	b.mu.Lock()
	left := b.joined
	b.joined, b.returned, b.next = false, 0, time.Time{}
	if left {
		b.leaveAt(b.replied.Add(b.lease))
		b.keepEvents()
	}
	follow := b.follow
	b.mu.Unlock()
	if left {
		follow(limiter.News{Alone: true, Changed: true})
	}
}

// leaveAt begins to earn the share at this time. The lock is held, or no other goroutine knows the bucket yet.
func (b *Bucket) leaveAt(at time.Time) {
	b.earns = at
	b.alone.Restore(at, 0)
}

// spacing returns how many microseconds a token takes at these limits, rounded up, because one early is a 429, and the burst.
func spacing(l limiter.Limits) (every, burst int64) {
	every = max(int64(math.Ceil(1e6/l.Rate)), 1)
	return every, int64(l.Burst * float64(every))
}
