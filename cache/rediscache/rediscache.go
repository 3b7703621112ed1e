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
	//go:embed drop.lua
	dropScript string
	//go:embed release.lua
	releaseScript string
)

const (
	redisTime = 50 * time.Millisecond  // for one answer of Redis; a call needs two of them, a token's and a count's, and waits 250 ms at most
	lockLife  = 3 * time.Second        // of a fill, held for longer as long as its replica lives
	hearing   = 100 * time.Millisecond // for the others to forget what a write dropped
	waking    = 100 * time.Millisecond // between looks at whether something was dropped that was not heard of, where that may be
	resting   = 2 * time.Second        // between those looks while the channel is up: three idle replicas do little else
	suspicion = 3 * time.Second        // after the channel was down, or too much was said, for which messages may have been missed
	mostSaid  = 1000                   // routes in one message; whoever has more drops everything
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
	o                         Options
	claims, puts, drops, ends *rueidis.Lua
	forget                    func(match func(route string) bool) int // drops from the memory of this replica
	patience, hearing         time.Duration                           // redisTime and hearing; the tests of what is kept bear a busy machine

	mu     sync.Mutex        // guards the following
	known  map[string]string // the generation of each route, as heard
	number int64             // drops that were heard of
	untold []func(string) bool
	missed time.Time // until then messages may have been missed

	said   chan dropped
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// dropped is the message of a drop.
type dropped struct {
	Number int64    `json:"number"`
	Routes []string `json:"routes"`
}

// everything stands for all routes.
const everything = "*"

var _ cache.Tier = (*Tier)(nil)

// New makes a second tier, for cache.Options.Shared of one Cache.
func New(o Options) *Tier {
	r := &Tier{o: o, patience: redisTime, hearing: hearing, known: make(map[string]string), said: make(chan dropped, 256)}
	r.claims, r.puts = rueidis.NewLuaScript(claimScript), rueidis.NewLuaScript(putScript)
	r.drops, r.ends = rueidis.NewLuaScript(dropScript), rueidis.NewLuaScript(releaseScript)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *Tier) key(name string) string { return "{" + r.o.Prefix + "}:cache:" + name }

func (r *Tier) answer(k cache.Key) string {
	sum := sha256.Sum256([]byte(k))
	return r.key("answer:" + hex.EncodeToString(sum[:]))
}

// errNoRedis says that there is only the memory.
var errNoRedis = errors.New("cache: redis is away")

func (r *Tier) run(script *rueidis.Lua, keys, args []string) ([]rueidis.RedisMessage, error) {
	client := r.o.Client()
	if client == nil {
		return nil, errNoRedis
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	return script.Exec(ctx, client, keys, args).ToArray()
}

// Claim looks for an answer, which must be sealed with seal, and asks for the right to fetch one where wanted.
func (r *Tier) Claim(k cache.Key, route string, seal []byte, wanted bool) cache.Claim {
	lock := ""
	if wanted {
		lock = rand.Text()
	}
	answer := r.answer(k)
	values, err := r.run(r.claims, []string{answer, answer + ":lock", r.key("routes"), r.key("drops"), r.key("server")}, []string{lock, route, milliseconds(lockLife)})
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.patience)
		defer cancel()
		r.ends.Exec(ctx, client, []string{r.answer(k) + ":lock"}, []string{lock, more})
	}
}

// Release gives a lock back.
func (r *Tier) Release(k cache.Key, lock string) { r.prolong(k, lock, "0") }

// Hold keeps a lock alive until release is called, which gives it back.
func (r *Tier) Hold(k cache.Key, lock string) (release func()) {
	ended := make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() {
		again := time.NewTicker(lockLife / 3)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				r.prolong(k, lock, milliseconds(lockLife))
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
	data := encode(e, r.answer(k), seal, time.Now())
	if int64(len(data)) > r.o.Answer {
		return
	}
	client := r.o.Client()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	r.puts.Exec(ctx, client, []string{r.answer(k), r.key("routes")}, []string{e.Route, generation, milliseconds(life), string(data)})
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// Drop forgets routes everywhere, and returns when all replicas that listen have, or after a while. While Redis is away it is
// done when it is back.
func (r *Tier) Drop(match func(route string) bool) {
	if err := r.publish(match); err != nil {
		r.mu.Lock()
		if len(r.untold) >= mostSaid {
			r.untold = []func(string) bool{func(string) bool { return true }}
		} else {
			r.untold = append(r.untold, match)
		}
		r.mu.Unlock()
	}
}

func (r *Tier) publish(match func(route string) bool) error {
	client := r.o.Client()
	if client == nil {
		return errNoRedis
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.hearing)
	defer cancel()
	kept, err := client.Do(ctx, client.B().Hkeys().Key(r.key("routes")).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	r.mu.Lock()
	for route := range r.known {
		kept = append(kept, route)
	}
	r.mu.Unlock()
	slices.Sort(kept)
	routes := slices.DeleteFunc(slices.Compact(kept), func(route string) bool { return !match(route) })
	switch {
	case len(routes) == 0:
		return nil
	case len(routes) > mostSaid:
		routes = []string{everything}
	}
	values, err := r.drops.Exec(ctx, client, []string{r.key("routes"), r.key("drops")}, append([]string{r.key("dropped")}, routes...)).ToArray()
	if err != nil || len(values) != 2 {
		return fmt.Errorf("cache: telling the other replicas of a drop: %w", err)
	}
	number, _ := values[0].AsInt64()
	heard, _ := values[1].AsInt64()
	r.await(ctx, client, number, heard)
	return nil
}

// await waits until all who heard of a drop have forgotten.
func (r *Tier) await(ctx context.Context, client rueidis.Client, number, heard int64) {
	for ctx.Err() == nil {
		n, err := client.Do(ctx, client.B().Get().Key(r.heardKey(number)).Build()).AsInt64()
		if n >= heard || err != nil && !rueidis.IsRedisNil(err) {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (r *Tier) heardKey(number int64) string { return r.key("heard:" + strconv.FormatInt(number, 10)) }

func decodeDropped(message string) (d dropped, ok bool) {
	return d, json.Unmarshal([]byte(message), &d) == nil && d.Number > 0
}
