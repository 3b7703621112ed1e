// Package rediscache is the tier of the cache that replicas share, in Redis.
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
	redisTimeout     = 50 * time.Millisecond  // for one answer of Redis; a call needs two of them, a token's and a count's, and waits 250 ms at most
	lockTTL          = 3 * time.Second        // of a fill, held for longer as long as its replica lives
	ackTimeout       = 100 * time.Millisecond // for the others to forget what a write dropped
	pollInterval     = 100 * time.Millisecond // between looks at whether something was dropped that was not heard of, where that may be
	idlePollInterval = 2 * time.Second        // between those looks while the channel is up: three idle replicas do little else
	doubtTime        = 3 * time.Second        // after the channel was down, or too much was said, for which messages may have been missed
	maxRoutes        = 1000                   // routes in one message; whoever has more drops everything
)

// Options says where replicas keep their common answers.
type Options struct {
	Client func() rueidis.Client // nil while Redis is away: then there is only the memory
	Prefix string                // of every key; the same for all replicas of one deployment
	Answer int64                 // bytes of the largest entry that is read
}

// Tier is the second tier of a cache.Cache, which replicas share: an answer that one of them got is there for all, a question is
// asked by one of them, and what a write drops is dropped everywhere.
//
// A hit in memory never asks Redis. So every replica's memory must be told of a drop: by a message, which each answers by
// counting itself, and the write's answer waits for all who were sent it, up to 100 ms. The channel is a sharded one: in a Cluster
// all listen at the node that counts them, and elsewhere it is like any other. A replica that heard nothing, because its
// channel was down, sees within 100 ms that drops were counted which it knows nothing of, and forgets those routes. Where the
// channel seemed to be up it sees it within 2 s.
type Tier struct {
	o                               Options
	claim, put, invalidate, release *rueidis.Lua
	invalidateLocal                 func(match func(route string) bool) int // drops from the memory of this replica
	timeout, ackTimeout             time.Duration                           // redisTimeout and ackTimeout; the tests of what is kept bear a busy machine

	mu          sync.Mutex        // guards the following
	generations map[string]string // the generation of each route, as heard
	applied     int64             // drops that were heard of
	unsent      []func(string) bool
	pollUntil   time.Time // until then messages may have been missed

	messages chan invalidation
	ctx      context.Context
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

// dropped is the message of a drop.
type invalidation struct {
	Number int64    `json:"number"`
	Routes []string `json:"routes"`
}

// allRoutes stands for all routes.
const allRoutes = "*"

var _ cache.Tier = (*Tier)(nil)

// New makes a second tier, for cache.Options.Shared of one Cache.
func New(o Options) *Tier {
	r := &Tier{o: o, timeout: redisTimeout, ackTimeout: ackTimeout, generations: make(map[string]string), messages: make(chan invalidation, 256)}
	r.claim, r.put = rueidis.NewLuaScript(claimScript), rueidis.NewLuaScript(putScript)
	r.invalidate, r.release = rueidis.NewLuaScript(invalidateScript), rueidis.NewLuaScript(releaseScript)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *Tier) key(name string) string { return "{" + r.o.Prefix + "}:cache:" + name }

func (r *Tier) entryKey(k cache.Key) string {
	sum := sha256.Sum256([]byte(k))
	return r.key("answer:" + hex.EncodeToString(sum[:]))
}

// errNoRedis says that there is only the memory.
var errNoRedis = errors.New("cache: redis is away")

func (r *Tier) exec(script *rueidis.Lua, keys, args []string) ([]rueidis.RedisMessage, error) {
	client := r.o.Client()
	if client == nil {
		return nil, errNoRedis
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	return script.Exec(ctx, client, keys, args).ToArray()
}

// Claim looks for an answer, which must be sealed with seal, and asks for the right to fetch one where wanted.
func (r *Tier) Claim(k cache.Key, route string, seal []byte, wanted bool) cache.Claim {
	lock := ""
	if wanted {
		lock = rand.Text()
	}
	answer := r.entryKey(k)
	values, err := r.exec(r.claim, []string{answer, answer + ":lock", r.key("routes"), r.key("invalidations"), r.key("server")}, []string{lock, route, milliseconds(lockTTL)})
	if err != nil || len(values) != 4 {
		return cache.Claim{}
	}
	c := cache.Claim{}
	c.Generation, _ = values[2].ToString()
	if ours, _ := values[3].AsInt64(); ours == 1 {
		c.Lock = lock
	}
	age, _ := values[1].AsInt64()
	if data, err := values[0].AsBytes(); err == nil && int64(len(data)) <= r.o.Answer {
		c.Entry = decode(data, answer, seal, time.Duration(age)*time.Millisecond, time.Now())
	}
	return c
}

// prolong keeps a lock for so many milliseconds more. Of what cannot be told, the lock's own end takes care.
func (r *Tier) prolong(k cache.Key, lock, more string) {
	if client := r.o.Client(); client != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.timeout)
		defer cancel()
		r.release.Exec(ctx, client, []string{r.entryKey(k) + ":lock"}, []string{lock, more})
	}
}

// Release gives a lock back.
func (r *Tier) Release(k cache.Key, lock string) { r.prolong(k, lock, "0") }

// Hold keeps a lock alive until release is called, which gives it back.
func (r *Tier) Hold(k cache.Key, lock string) (release func()) {
	ended := make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() {
		again := time.NewTicker(lockTTL / 3)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				r.prolong(k, lock, milliseconds(lockTTL))
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		holding.Wait()
		r.Release(k, lock)
	}
}

// Put has an answer there for all, for as long as it may be served, unless its route was dropped since the claim.
func (r *Tier) Put(k cache.Key, e *cache.Entry, seal []byte, generation string, life time.Duration) {
	if generation == "" || life <= 0 || len(e.Varies) > 0 { // who gets which form of it is known by the replica that asked
		return
	}
	data := encode(e, r.entryKey(k), seal, time.Now())
	if int64(len(data)) > r.o.Answer {
		return
	}
	client := r.o.Client()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	r.put.Exec(ctx, client, []string{r.entryKey(k), r.key("routes")}, []string{e.Route, generation, milliseconds(life), string(data)})
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// Drop forgets routes everywhere, and returns when all replicas that listen have, or after a while. While Redis is away it is
// done when it is back.
func (r *Tier) Invalidate(match func(route string) bool) {
	if err := r.publish(match); err != nil {
		r.mu.Lock()
		if len(r.unsent) >= maxRoutes {
			r.unsent = []func(string) bool{func(string) bool { return true }}
		} else {
			r.unsent = append(r.unsent, match)
		}
		r.mu.Unlock()
	}
}

func (r *Tier) publish(match func(route string) bool) error {
	client := r.o.Client()
	if client == nil {
		return errNoRedis
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.ackTimeout)
	defer cancel()
	kept, err := client.Do(ctx, client.B().Hkeys().Key(r.key("routes")).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	r.mu.Lock()
	for route := range r.generations {
		kept = append(kept, route)
	}
	r.mu.Unlock()
	slices.Sort(kept)
	routes := slices.DeleteFunc(slices.Compact(kept), func(route string) bool { return !match(route) })
	switch {
	case len(routes) == 0:
		return nil
	case len(routes) > maxRoutes:
		routes = []string{allRoutes}
	}
	values, err := r.invalidate.Exec(ctx, client, []string{r.key("routes"), r.key("invalidations")}, append([]string{r.key("invalidated")}, routes...)).ToArray()
	if err != nil || len(values) != 2 {
		return fmt.Errorf("cache: telling the other replicas of a drop: %w", err)
	}
	number, _ := values[0].AsInt64()
	subscribers, _ := values[1].AsInt64()
	r.awaitAcks(ctx, client, number, subscribers)
	return nil
}

// await waits until all who heard of a drop have forgotten.
func (r *Tier) awaitAcks(ctx context.Context, client rueidis.Client, number, subscribers int64) {
	for ctx.Err() == nil {
		n, err := client.Do(ctx, client.B().Get().Key(r.ackKey(number)).Build()).AsInt64()
		if n >= subscribers || err != nil && !rueidis.IsRedisNil(err) {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (r *Tier) ackKey(number int64) string {
	return r.key("acknowledged:" + strconv.FormatInt(number, 10))
}

func decodeInvalidation(message string) (d invalidation, ok bool) {
	return d, json.Unmarshal([]byte(message), &d) == nil && d.Number > 0
}
