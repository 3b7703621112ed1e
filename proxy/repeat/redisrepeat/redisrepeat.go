// Package redisrepeat keeps the records of writes in Redis (or Valkey), so that no replica repeats a write that another replica has sent.
package redisrepeat

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/proxy/repeat"
)

var (
	//go:embed claim.lua
	claimScript string
	//go:embed settle.lua
	settleScript string
	//go:embed renew.lua
	renewScript string
)

// timeout bounds one command. A Redis that is slower counts as unreachable.
const timeout = 250 * time.Millisecond

// Store is a repeat.SharedStore. Each write is one hash: its record and, while the write is in progress, its owner. It may be used by many
// goroutines.
type Store struct {
	client               func() rueidis.Client
	prefix               string
	claims, ends, renews *rueidis.Lua
}

var _ repeat.SharedStore = (*Store)(nil)

// New returns a Store. client returns nil while Redis is unreachable. prefix is part of every key, and the same for all replicas of a
// deployment.
func New(client func() rueidis.Client, prefix string) *Store {
	return &Store{
		client: client, prefix: prefix,
		claims: rueidis.NewLuaScript(claimScript), ends: rueidis.NewLuaScript(settleScript), renews: rueidis.NewLuaScript(renewScript),
	}
}

var errUnreachable = errors.New("redisrepeat: redis is unreachable")

// Claim records that owner sends the write, or returns the record that is there.
func (s *Store) Claim(ctx context.Context, key, owner string, mine *repeat.Record, remember time.Duration) (*repeat.Record, error) {
	data, err := mine.Encode()
	if err != nil {
		return nil, err
	}
	return s.look(ctx, key, remember, claim{owner, string(data), mine.Fingerprint})
}

// claim are the arguments of Claim. The zero claim only looks.
type claim struct {
	owner, record string
	fingerprint   repeat.Digest
}

// Look returns the record of a write, or nil.
func (s *Store) Look(ctx context.Context, key string, remember time.Duration) (*repeat.Record, error) {
	return s.look(ctx, key, remember, claim{})
}

func (s *Store) look(ctx context.Context, key string, remember time.Duration, c claim) (*repeat.Record, error) {
	found, err := s.run(ctx, s.claims, key, c.owner, c.record, milliseconds(repeat.Lease+remember), milliseconds(remember)).ToArray()
	if err != nil || len(found) == 0 {
		return nil, wrap(err)
	}
	data, err := found[0].AsBytes()
	if err != nil || len(found) != 2 {
		return nil, errors.New("redisrepeat: the record is not one of ours")
	}
	r, err := repeat.Decode(data)
	if err != nil { // perhaps of a newer roamproxy: the write was sent, and its outcome is unknown
		return &repeat.Record{State: repeat.Unknown, Fingerprint: c.fingerprint, Status: http.StatusBadGateway}, nil
	}
	if dead, _ := found[1].AsInt64(); dead == 1 {
		return &repeat.Record{State: repeat.Unknown, Fingerprint: r.Fingerprint, Status: http.StatusBadGateway}, nil
	}
	return r, nil
}

// Renew keeps a claim for another lease.
func (s *Store) Renew(ctx context.Context, key, owner string, remember time.Duration) error {
	return wrap(s.run(ctx, s.renews, key, owner, milliseconds(repeat.Lease+remember)).Error())
}

// Settle replaces the claim of owner by a record, or by nothing.
func (s *Store) Settle(ctx context.Context, key, owner string, r *repeat.Record, life time.Duration) error {
	data := []byte{}
	if r != nil {
		var err error
		if data, err = r.Encode(); err != nil {
			return err
		}
	}
	return wrap(s.run(ctx, s.ends, key, owner, string(data), milliseconds(life)).Error())
}

// Put stores a record, or removes the one that is there.
func (s *Store) Put(ctx context.Context, key string, r *repeat.Record, life time.Duration) error {
	return s.Settle(ctx, key, "", r, life)
}

func (s *Store) run(ctx context.Context, script *rueidis.Lua, key string, args ...string) rueidis.RedisResult {
	client := s.client()
	if client == nil {
		return rueidis.NewErrorResult(errUnreachable)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return script.Exec(ctx, client, []string{"{" + s.prefix + "}:repeat:" + key}, args)
}

func wrap(err error) error {
	if err == nil || errors.Is(err, errUnreachable) {
		return err
	}
	return fmt.Errorf("redisrepeat: %w", err)
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
