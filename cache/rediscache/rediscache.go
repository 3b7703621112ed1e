// Package rediscache is the second tier of the cache, in Redis, which replicas share.
package rediscache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/cache"
)

var (
	//go:embed claim.lua
	claimScript string
	//go:embed put.lua
	putScript string
	//go:embed invalidate.lua
	invalidateScript string
	//go:embed release.lua
	releaseScript string
)

const (
	redisTimeout     = 50 * time.Millisecond  // for one command; an upstream call needs two more, for its token and its count, within 250 ms
	lockTTL          = 3 * time.Second        // of a fill's lock, which its replica renews while the fill runs
	ackTimeout       = 100 * time.Millisecond // longest time that a write waits for the other replicas
	pollInterval     = 100 * time.Millisecond // between two looks at the counter of invalidations while messages may have been missed
	idlePollInterval = 2 * time.Second        // the same while the channel is up: idle replicas must cost Redis little
	doubtTime        = 3 * time.Second        // after the channel was down or full, for which messages may have been missed
	maxRoutes        = 1000                   // routes in one message; an invalidation of more removes all routes
)

// Options configures a Tier.
type Options struct {
	Client func() rueidis.Client // returns nil while Redis is unreachable; the cache then uses its memory alone
	Prefix string                // of every key in Redis; equal for all replicas of one deployment
	Answer int64                 // largest entry that is written or read, in bytes
}

// Tier is the second tier of a cache.Cache. An answer that one replica got is available to all, equal requests are sent to Roam by
// one replica, and an invalidation reaches all replicas.
//
// A hit in memory does not ask Redis, so every replica's memory must learn of an invalidation. The replica of the write publishes a
// message, and each subscriber acknowledges it by incrementing a counter. The write's answer waits for all acknowledgements, up to
// 100 ms. The channel is sharded: in a Cluster all subscribers are at the node that counts them.
//
// A replica whose channel was down polls the counter of invalidations every 100 ms for 3 s. It then removes the routes whose
// generation has changed. While its channel is up it polls every 2 s.
type Tier struct {
	o                               Options
	claim, put, invalidate, release *rueidis.Lua
	invalidateLocal                 func(match func(route string) bool) int // removes entries from the memory of this replica
	timeout, ackTimeout             time.Duration                           // redisTimeout and ackTimeout; longer in tests of what is stored

	mu          sync.Mutex        // guards the following
	generations map[string]string // of each route, as last read
	applied     int64             // number of the last invalidation that this replica applied
	unsent      []func(string) bool
	pollUntil   time.Time // until then messages may have been missed, and poll reads every pollInterval

	messages chan invalidation
	ctx      context.Context
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

// invalidation is the message between replicas. Number counts the invalidations.
type invalidation struct {
	Number int64    `json:"number"`
	Routes []string `json:"routes"`
}

// allRoutes in a message stands for every route.
const allRoutes = "*"

var _ cache.Tier = (*Tier)(nil)

// New returns a Tier, for cache.Options.Shared of one Cache.
func New(o Options) *Tier {
	r := &Tier{
		o: o, timeout: redisTimeout, ackTimeout: ackTimeout, generations: make(map[string]string), messages: make(chan invalidation, 256),
	}
	r.claim, r.put = rueidis.NewLuaScript(claimScript), rueidis.NewLuaScript(putScript)
	r.invalidate, r.release = rueidis.NewLuaScript(invalidateScript), rueidis.NewLuaScript(releaseScript)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (t *Tier) key(name string) string { return "{" + t.o.Prefix + "}:cache:" + name }

func (t *Tier) entryKey(k cache.Key) string {
	sum := sha256.Sum256([]byte(k))
	return t.key("answer:" + hex.EncodeToString(sum[:]))
}

// errNoRedis reports that only the memory is available.
var errNoRedis = errors.New("cache: redis is unreachable")

func (t *Tier) exec(script *rueidis.Lua, keys, args []string) ([]rueidis.RedisMessage, error) {
	client := t.o.Client()
	if client == nil {
		return nil, errNoRedis
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.timeout)
	defer cancel()
	return script.Exec(ctx, client, keys, args).ToArray()
}

// Claim returns an entry that was sealed with seal and, where lock is set, tries to take the lock of its fill.
func (t *Tier) Claim(k cache.Key, route string, seal []byte, lock bool) cache.Claim {
	token := ""
	if lock {
		token = rand.Text()
	}
	answer := t.entryKey(k)
	keys := []string{answer, answer + ":lock", t.key("routes"), t.key("invalidations"), t.key("server")}
	values, err := t.exec(t.claim, keys, []string{token, route, milliseconds(lockTTL)})
	if err != nil || len(values) != 4 {
		return cache.Claim{}
	}
	c := cache.Claim{}
	c.Generation, _ = values[2].ToString()
	if ours, _ := values[3].AsInt64(); ours == 1 {
		c.Lock = token
	}
	age, _ := values[1].AsInt64()
	if data, err := values[0].AsBytes(); err == nil && int64(len(data)) <= t.o.Answer {
		c.Entry = decode(data, answer, seal, time.Duration(age)*time.Millisecond, time.Now())
	}
	return c
}

// prolong extends a lock by so many milliseconds. A lock that cannot be extended expires.
func (t *Tier) prolong(k cache.Key, lock, more string) {
	if client := t.o.Client(); client != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.timeout)
		defer cancel()
		t.release.Exec(ctx, client, []string{t.entryKey(k) + ":lock"}, []string{lock, more})
	}
}

// Release releases a lock.
func (t *Tier) Release(k cache.Key, lock string) { t.prolong(k, lock, "0") }

// Hold renews a lock until release is called, which releases it.
func (t *Tier) Hold(k cache.Key, lock string) (release func()) {
	ended := make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() {
		again := time.NewTicker(lockTTL / 3)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				t.prolong(k, lock, milliseconds(lockTTL))
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		holding.Wait()
		t.Release(k, lock)
	}
}

// Put stores an entry for all replicas, for as long as life, unless its route was invalidated since the claim.
func (t *Tier) Put(k cache.Key, e *cache.Entry, seal []byte, generation string, life time.Duration) {
	if generation == "" || life <= 0 || len(e.Varies) > 0 { // only the replica that fetched it knows which requests get which variant
		return
	}
	data := encode(e, t.entryKey(k), seal, time.Now())
	if int64(len(data)) > t.o.Answer {
		return
	}
	client := t.o.Client()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.timeout)
	defer cancel()
	t.put.Exec(ctx, client, []string{t.entryKey(k), t.key("routes")}, []string{e.Route, generation, milliseconds(life), string(data)})
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// Invalidate removes the entries of routes everywhere, and returns when all replicas that listen have done so, or after ackTimeout.
// While Redis is unreachable the invalidation is kept and published when Redis is back.
func (t *Tier) Invalidate(match func(route string) bool) {
	if err := t.publish(match); err != nil {
		t.mu.Lock()
		if len(t.unsent) >= maxRoutes {
			t.unsent = []func(string) bool{func(string) bool { return true }}
		} else {
			t.unsent = append(t.unsent, match)
		}
		t.mu.Unlock()
	}
}

func (t *Tier) publish(match func(route string) bool) error {
	client := t.o.Client()
	if client == nil {
		return errNoRedis
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.ackTimeout)
	defer cancel()
	kept, err := client.Do(ctx, client.B().Hkeys().Key(t.key("routes")).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	t.mu.Lock()
	for route := range t.generations {
		kept = append(kept, route)
	}
	t.mu.Unlock()
	slices.Sort(kept)
	routes := slices.DeleteFunc(slices.Compact(kept), func(route string) bool { return !match(route) })
	switch {
	case len(routes) == 0:
		return nil
	case len(routes) > maxRoutes:
		routes = []string{allRoutes}
	}
	keys := []string{t.key("routes"), t.key("invalidations")}
	values, err := t.invalidate.Exec(ctx, client, keys, append([]string{t.key("invalidated")}, routes...)).ToArray()
	if err != nil || len(values) != 2 {
		return fmt.Errorf("cache: publishing an invalidation: %w", err)
	}
	number, _ := values[0].AsInt64()
	subscribers, _ := values[1].AsInt64()
	t.awaitAcks(ctx, client, number, subscribers)
	return nil
}

// awaitAcks waits until all subscribers have acknowledged an invalidation.
func (t *Tier) awaitAcks(ctx context.Context, client rueidis.Client, number, subscribers int64) {
	for ctx.Err() == nil {
		n, err := client.Do(ctx, client.B().Get().Key(t.ackKey(number)).Build()).AsInt64()
		if n >= subscribers || err != nil && !rueidis.IsRedisNil(err) {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (t *Tier) ackKey(number int64) string {
	return t.key("acknowledged:" + strconv.FormatInt(number, 10))
}

func decodeInvalidation(message string) (d invalidation, ok bool) {
	return d, json.Unmarshal([]byte(message), &d) == nil && d.Number > 0
}
