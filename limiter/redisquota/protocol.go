package redisquota

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/limiter"
)

// request is what a replica reports and asks with one run of quota.lua. Times are in microseconds.
type request struct {
	Replica   string  `json:"replica"`
	Check     bool    `json:"check"`      // whether this is the server that wrote the state
	LastReply int64   `json:"last_reply"` // the server's time of the last answer that arrived; 0: none
	Calls     int     `json:"calls"`      // queued, and one of them wants a token; 0: none is; -1: as before
	Weight    int     `json:"weight"`     // of the tools that they belong to
	Reserve   float64 `json:"reserve"`    // tokens, as time, that these tools leave to others
	Margin    float64 `json:"margin"`     // tokens, as time, that have to be left for what is in flight
	Returned  int     `json:"returned"`   // tokens given back
	Probing   bool    `json:"probing"`    // it knows that its call is the probe, and has no answer of Roam's yet
	Bye       bool    `json:"bye"`        // it leaves

	Replicas int   `json:"replicas"` // that share the quota
	Every    int64 `json:"every"`    // a token takes
	Burst    int64 `json:"burst"`    // takes
	Lease    int64 `json:"lease"`
	Settling int64 `json:"settling"`
	Late     int64 `json:"late"`
	Forget   int64 `json:"forget"`
	MaxPause int64 `json:"max_pause"`

	LimitGeneration uint64  `json:"limit_generation"` // the generation of the adaptive limit that Every and Burst are by
	Events          []event `json:"events"`
}

// event is a limiter.Event on its way.
type event struct {
	Kind       limiter.EventKind `json:"kind"`
	Generation uint64            `json:"generation"` // of the pause that it is about
	Remaining  int64             `json:"remaining"`
	Learned    string            `json:"learned"`
	Age        int64             `json:"age"` // of Learned
	Level      float64           `json:"level"`
}

// reply is what the script answers. Its numbers are text, because they have more digits than Lua's JSON writes.
type reply struct {
	Wait  int64 `json:"wait,string"` // for a token; 0: this is one
	Next  int64 `json:"next,string"` // for the one after it
	Now   int64 `json:"now,string"`
	Born  int64 `json:"born,string"` // when the quota came into Redis
	Full  int64 `json:"full,string"` // until the bucket is
	Every int64 `json:"every,string"`
	Burst int64 `json:"burst,string"`

	Generation uint64             `json:"generation,string"` // of the pause
	State      limiter.PauseState `json:"state"`
	Remaining  int64              `json:"remaining,string"`
	Mine       bool               `json:"mine"` // this replica's call is the probe

	LimitGeneration uint64 `json:"limit_generation,string"` // the generation of the adaptive limit
	Learned         string `json:"learned"`
	Age             int64  `json:"age,string"`

	Others int `json:"others,string"` // weights of the tools that wait at other replicas
	Live   int `json:"live,string"`   // replicas with a valid lease
}

// check reports why a reply is not one of our script's.
func (r *reply) check() error {
	switch r.State {
	case limiter.PauseOpen, limiter.PauseShut, limiter.PauseProbing:
	default:
		return fmt.Errorf("redisquota: the state %q is none of ours", r.State)
	}
	if r.Every < 1 || r.Wait < 0 || r.Next < 0 || r.Full < 0 || r.Remaining < 0 {
		return fmt.Errorf("redisquota: the reply %+v is none of ours", *r)
	}
	return nil
}

// run asks the script. A server that does not know it was started since, or took over from another one: it has to check what it
// finds. The reply is the script's, or an error says why Redis is of no use.
func (s *Session) run(ctx context.Context, key string, q request) (r reply, err error) {
	client := s.connection()
	if client == nil {
		return r, errNotConnected
	}
	do := func(command rueidis.Completed) rueidis.RedisResult {
		ctx, cancel := context.WithTimeout(ctx, s.patience)
		defer cancel()
		return client.Do(ctx, command)
	}
	arg := func() string { text, _ := json.Marshal(q); return string(text) } // of numbers and strings: cannot fail
	result := do(client.B().Evalsha().Sha1(s.quotaSHA).Numkeys(1).Key(key).Arg(arg()).Build())
	if e, ok := rueidis.IsRedisErr(result.Error()); ok && e.IsNoScript() {
		q.Check = true
		result = do(client.B().Eval().Script(quotaScript).Numkeys(1).Key(key).Arg(arg()).Build())
	}
	if err = result.DecodeJSON(&r); err == nil {
		err = r.check()
	}
	if err != nil {
		return r, fmt.Errorf("redisquota: %w", err)
	}
	return r, nil
}

// encode returns how what was learned is stored, and how old it is; "" for nothing.
func encode(l limiter.AdaptState, now time.Time) (text string, age time.Duration) {
	if l.At.IsZero() {
		return "", 0
	}
	age = max(now.Sub(l.At), 0)
	l.At = time.Time{}
	b, _ := json.Marshal(l)
	return string(b), age
}

// decode reads what was learned at this time. What no refusal can have taught is nothing.
func decode(text string, at time.Time) (l limiter.AdaptState) {
	if text == "" || json.Unmarshal([]byte(text), &l) != nil {
		return limiter.AdaptState{}
	}
	if l.At = at; !l.Sound(at) {
		return limiter.AdaptState{}
	}
	return l
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
