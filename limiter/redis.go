package limiter

import (
	"context"
	"math"
	"sync"
	"time"
)

// Redis is the Bucket of a quota that replicas share, and with it the pause and what was learned. While Redis is away it is a
// Local of rate/replicas, and all that it tells is about that share. Take waits for Redis, and never for longer than 250 ms;
// everything else answers from what was heard last.
type Redis struct {
	fleet *Fleet
	key   string

	asking chan struct{} // of one place, taken while the script is asked: answers are heeded in the order in which they were given

	mu     sync.Mutex // guards the following; no other lock is taken while it is held
	paid   Limits
	lesson lesson
	joined bool
	heard  time.Time // when Redis answered last
	last   shared    // what it said
	full   time.Time // the bucket is full then, as far as was heard
	next   time.Time // there is no token for this replica before this: the last one came with that word
	alone  *Local
	earns  time.Time // alone earns nothing before this

	words    []word // about the pause, to be told
	returned int    // tokens to be given back
	probing  bool   // the last token was that of a probe, of which nothing is told yet
	line     *Queue
}

var _ sharer = (*Redis)(nil)

// Bucket makes this replica's end of a quota that is shared under this name. The numbers are those of NewLocal, and the whole
// quota's. A replica takes them for true that it was told last, so all should be told the same.
//
// A quota that Redis knows nothing of starts empty: it may have been spent a moment ago by replicas whose Redis lost it.
func (f *Fleet) Bucket(name string, perSecond, burst float64, jitter time.Duration) (*Redis, error) {
	b := &Redis{fleet: f, key: "{" + f.o.Prefix + "}:quota:" + name, asking: make(chan struct{}, 1)}
	if err := b.Reconfigure(perSecond, burst, jitter); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.buckets = append(f.buckets, b)
	f.mu.Unlock()
	f.soon()
	return b, nil
}

// Reconfigure is Local's: new numbers, and the level and what was learned stay. The other replicas must be told too.
func (b *Redis) Reconfigure(perSecond, burst float64, jitter time.Duration) error {
	whole, err := atOnce(perSecond, burst, jitter)
	if err != nil {
		return err
	}
	share := perSecond / float64(b.fleet.o.Replicas)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paid, b.next = Limits{perSecond, float64(whole) / unit}, time.Time{}
	if b.alone != nil {
		return b.alone.Reconfigure(share, 1, 0)
	}
	if b.alone, err = NewLocal(share, 1, 0); err == nil {
		b.leaveAt(time.Now())
	}
	return err
}

// Close says goodbye, so that the other replicas need not keep a share for this one.
func (b *Redis) Close() {
	b.fleet.mu.Lock()
	all := b.fleet.buckets[:0:0]
	for _, other := range b.fleet.buckets {
		if other != b {
			all = append(all, other)
		}
	}
	gone := len(all) == len(b.fleet.buckets)
	b.fleet.buckets = all
	b.fleet.mu.Unlock()
	b.mu.Lock()
	joined := b.joined
	b.joined, b.words = false, append(b.words, word{kind: "bye"})
	b.mu.Unlock()
	if joined && !gone {
		b.ask(context.Background(), false) // who was not understood is kept a share for a while
	}
}

// Take asks Redis for a token, or the share of this replica while Redis is away. With a token Redis says when the next will be
// there, so that each costs one question.
func (b *Redis) Take(now time.Time) time.Duration {
	b.mu.Lock()
	joined, early := b.joined, b.next.Sub(now)
	b.mu.Unlock()
	if joined && early > 0 {
		return early
	}
	if joined {
		s, err := b.ask(b.fleet.ctx, true)
		if err == nil {
			return micros(s.Wait)
		}
		b.fleet.lost(err)
		now = time.Now()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	early = max(b.earns.Sub(now), 0)
	if wait := b.alone.Take(now.Add(early)); wait > 0 {
		return early + wait
	}
	return 0
}

// Return gives a token back with the next beat.
func (b *Redis) Return(now time.Time) {
	b.mu.Lock()
	b.probing = false
	if !b.joined {
		b.alone.Return(now)
		b.mu.Unlock()
		return
	}
	b.returned++
	b.next = time.Time{}
	b.mu.Unlock()
	b.fleet.soon()
}

// Drain empties what this replica has while Redis is away. What is shared is emptied by the word that Roam refused a call.
func (b *Redis) Drain(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alone.Drain(now)
	b.full, b.next = now.Add(micros(b.last.Burst)), time.Time{}
}

// Level is how many tokens there are, as far as was heard: others may have taken some since.
func (b *Redis) Level(now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return b.alone.Level(now)
	}
	missing := max(b.full.Sub(now).Microseconds(), 0)
	return max(float64(b.last.Burst-missing)/float64(b.last.Every), 0)
}

// Limits are the whole quota's, or the share of this replica while Redis is away.
func (b *Redis) Limits(now time.Time) Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return b.alone.Limits(now)
	}
	return b.lesson.learned.limits(now, b.paid)
}

// Paid is the whole quota, with the jitter's share taken off the burst, or the share of this replica while Redis is away.
func (b *Redis) Paid() Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return b.alone.Paid()
	}
	return b.paid
}

// beat lets this replica be heard, unless it was a moment ago, and tells what there is to tell. It says when it is to be heard again.
func (b *Redis) beat() (again time.Duration, err error) {
	for {
		b.mu.Lock()
		again = beat - time.Since(b.heard)
		news := !b.joined || len(b.words) > 0 || b.returned > 0 || b.lesson.untold
		b.mu.Unlock()
		if !news && again > 0 {
			return again, nil
		}
		if _, err := b.ask(b.fleet.ctx, false); err != nil {
			return 0, err
		}
	}
}

// leave goes on alone.
func (b *Redis) leave() {
	b.mu.Lock()
	left := b.joined
	b.joined, b.returned, b.next = false, 0, time.Time{}
	if left {
		b.alone.Learn(b.lesson.share(b.fleet.o.Replicas))
		b.leaveAt(b.heard)
	}
	line := b.line
	b.mu.Unlock()
	if left && line != nil {
		line.leftAlone(b)
	}
}

// leaveAt begins to earn the share of who was last heard at this time. The lock is held, or nobody else knows the bucket yet.
func (b *Redis) leaveAt(heard time.Time) {
	b.earns = heard.Add(lease)
	b.alone.Restore(b.earns, 0)
}

// spacing is how many microseconds a token takes at these limits, rounded up, because one early is a 429, and how many the burst.
func spacing(l Limits) (every, burst int64) {
	every = max(int64(math.Ceil(1e6/l.Rate)), 1)
	return every, int64(l.Burst * float64(every))
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
