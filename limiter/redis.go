package limiter

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Redis is the Bucket of a quota that replicas share, and with it the pause. While Redis is away it is a Local of rate/replicas.
// Take waits for Redis, and never for longer than 250 ms; everything else answers from what was heard last.
type Redis struct {
	fleet *Fleet
	key   string

	asking sync.Mutex // held while the script is asked: answers are heeded in the order in which they were given

	mu                 sync.Mutex // guards the following; no other lock is taken while it is held
	rate               float64
	burst, every, full int64 // microseconds: the burst's, a token's, and what was missing to a full bucket when last heard
	heard              time.Time
	last               shared
	joined             bool
	alone              *Local
	earns              time.Time // alone earns nothing before this
	words              []word    // about the pause, to be told
	returned           int       // tokens to be given back
	line               *Queue
}

var _ sharer = (*Redis)(nil)

// shared is what the script answers.
type shared struct {
	wait, full, now, born int64
	generation            uint64
	state                 pauseState
	quiet                 time.Duration // of the pause
	mine                  bool          // this replica's call is the probe
	others                int           // replicas with calls that wait for a token
	live                  int           // replicas that were heard lately
}

// word is what a replica tells about the pause. Generation is the one that it is about.
type word struct {
	kind       string
	generation uint64
	until      time.Time // of the quiet that Roam asked for
}

// Bucket makes this replica's end of a quota that is shared under this name. The numbers are those of NewLocal, and the whole
// quota's. A replica takes them for true that it was told last, so all should be told the same.
//
// A quota that Redis knows nothing of starts empty: it may have been spent a moment ago by replicas whose Redis lost it.
func (f *Fleet) Bucket(name string, perSecond, burst float64, jitter time.Duration) (*Redis, error) {
	b := &Redis{fleet: f, key: "{" + f.o.Prefix + "}:quota:" + name}
	if err := b.Reconfigure(perSecond, burst, jitter); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.buckets = append(f.buckets, b)
	f.mu.Unlock()
	f.soon()
	return b, nil
}

// Reconfigure is Local's: new numbers, and the level stays. The other replicas must be told too.
func (b *Redis) Reconfigure(perSecond, burst float64, jitter time.Duration) error {
	whole, err := atOnce(perSecond, burst, jitter)
	if err != nil {
		return err
	}
	share, err := NewLocal(perSecond/float64(b.fleet.o.Replicas), 1, 0)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = perSecond
	b.every = max(int64(math.Ceil(1e6/perSecond)), 1) // rounded up: a microsecond early is a 429
	b.burst = int64(float64(whole) / unit * float64(b.every))
	b.alone = share
	b.leaveAt(time.Now())
	return nil
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

// Take asks Redis for a token, or the share of this replica while Redis is away.
func (b *Redis) Take(now time.Time) time.Duration {
	b.mu.Lock()
	joined := b.joined
	b.mu.Unlock()
	if joined {
		s, err := b.ask(b.fleet.ctx, true)
		if err == nil {
			return time.Duration(s.wait) * time.Microsecond
		}
		b.fleet.lost(err)
		now = time.Now()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	early := max(b.earns.Sub(now), 0)
	if wait := b.alone.Take(now.Add(early)); wait > 0 {
		return early + wait
	}
	return 0
}

// Return gives a token back with the next beat.
func (b *Redis) Return(now time.Time) {
	b.mu.Lock()
	if !b.joined {
		b.alone.Return(now)
		b.mu.Unlock()
		return
	}
	b.returned++
	b.mu.Unlock()
	b.fleet.soon()
}

// Drain empties what this replica has while Redis is away. What is shared is emptied by the word that Roam refused a call.
func (b *Redis) Drain(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alone.Drain(now)
	b.full, b.heard = b.burst, now
}

// Level is how many tokens there are, as far as was heard: others may have taken some since.
func (b *Redis) Level(now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return b.alone.Level(now)
	}
	missing := max(b.full-now.Sub(b.heard).Microseconds(), 0)
	return float64(b.burst-missing) / float64(b.every)
}

// Limits are the whole quota's, or the share of this replica while Redis is away.
func (b *Redis) Limits(now time.Time) Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return b.alone.Limits(now)
	}
	return Limits{b.rate, float64(b.burst) / float64(b.every)}
}

// Paid is the whole quota, with the jitter's share taken off the burst.
func (b *Redis) Paid() Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Limits{b.rate, float64(b.burst) / float64(b.every)}
}

// Learned is nothing, and Learn does nothing: what one replica believes to be in the bucket lags behind what the others took,
// so its refusals teach it nothing certain. A quota that is shared stays at what is configured, and the pauses do the rest.
func (b *Redis) Learned() Learned { return Learned{} }

// Learn does nothing; Learned says why.
func (b *Redis) Learn(Learned) {}

// beat lets this replica be heard, and tells what there is to tell.
func (b *Redis) beat() error {
	for {
		if _, err := b.ask(b.fleet.ctx, false); err != nil {
			return err
		}
		b.mu.Lock()
		more := len(b.words) > 0
		b.mu.Unlock()
		if !more {
			return nil
		}
	}
}

// leave goes on alone.
func (b *Redis) leave() {
	b.mu.Lock()
	left := b.joined
	b.joined, b.returned = false, 0
	if left {
		b.leaveAt(b.heard)
	}
	line := b.line
	b.mu.Unlock()
	if left && line != nil {
		line.leftAlone()
	}
}

// leaveAt begins to earn the share of who was last heard at this time. The lock is held, or nobody else knows the bucket yet.
func (b *Redis) leaveAt(heard time.Time) {
	b.earns = heard.Add(lease)
	b.alone.Restore(b.earns, 0)
}

// ask runs the script once, with at most one word, and heeds its answer.
func (b *Redis) ask(ctx context.Context, wants bool) (shared, error) {
	b.asking.Lock()
	defer b.asking.Unlock()
	b.mu.Lock()
	var said word
	if len(b.words) > 0 {
		said, b.words = b.words[0], b.words[1:]
	}
	returned := b.returned
	b.returned = 0
	args := b.arguments(wants, returned, said)
	b.mu.Unlock()

	s, err := b.fleet.run(ctx, b.key, args)
	if err != nil && said.kind != "" { // perhaps it was understood: what is about an old generation is not heeded
		b.mu.Lock()
		b.words = append([]word{said}, b.words...)
		b.mu.Unlock()
	}
	if err != nil {
		return s, err
	}

	b.mu.Lock()
	back := !b.joined && said.kind != "bye"
	lost := b.last.born != 0 && s.born != b.last.born // Redis forgot the quota, and perhaps a pause
	b.joined, b.heard, b.full, b.last = said.kind != "bye", time.Now(), s.full, s
	line := b.line
	b.mu.Unlock()
	if line == nil {
		return s, nil
	}
	if quiet := line.quiet(); quiet > 0 && (back || lost) {
		b.tell(word{kind: "hold", until: time.Now().Add(quiet)})
	}
	line.follow(s, back)
	return s, nil
}

// arguments are the script's. The lock is held.
func (b *Redis) arguments(wants bool, returned int, said word) []string {
	token := "0"
	if wants {
		token = "1"
	}
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return []string{
		b.fleet.id, n(b.last.now), token, n(int64(returned)), n(b.every), n(b.burst), n(int64(b.fleet.o.Replicas)),
		n(lease.Microseconds()), n(settling.Microseconds()), n(late.Microseconds()), n(forget.Microseconds()),
		said.kind, strconv.FormatUint(said.generation, 10), n(max(time.Until(said.until).Microseconds(), 0)),
	}
}

func readShared(r rueidis.RedisResult) (s shared, err error) {
	values, err := r.ToArray()
	if err != nil {
		return s, err
	}
	if len(values) != 10 {
		return s, errors.New("the script's answer is not one of ours")
	}
	var numbers [10]int64
	for i, v := range values {
		if i == 5 {
			continue
		}
		if numbers[i], err = v.AsInt64(); err != nil {
			return s, err
		}
	}
	state, err := values[5].ToString()
	s = shared{
		wait: numbers[0], full: numbers[1], now: numbers[2], born: numbers[3], generation: uint64(numbers[4]),
		quiet: time.Duration(numbers[6]) * time.Microsecond, mine: numbers[7] == 1, others: int(numbers[8]), live: int(numbers[9]),
	}
	switch state {
	case "shut":
		s.state = shut
	case "probing":
		s.state = probing
	}
	return s, err
}
