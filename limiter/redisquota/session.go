// Package redisquota shares a quota between replicas in Redis (or Valkey). All that they share of it is one value, and one script
// reads and writes it in one step: the bucket, the adaptive limit, the pause, the replica that has the next token, and the replicas
// that are there.
//
//	replica ── request: queued calls and their weights, events ──► quota.lua ──► reply: a token or a wait, pause, limits
//
// Why all of them together never spend more than the bucket, whatever happens to Redis, a replica or the network between:
//
//   - A replica spends a token only when the reply gave it one, or when it is cut off, and then at rate/replicas from an empty
//     bucket that never holds more than one call. A reply that is lost loses its token.
//   - Each request says for how long the replica's lease is good, and when its last reply came. Cut off, a replica begins to earn
//     tokens of its own only when the lease has passed since the last reply. At that time, or earlier, the script begins to take
//     that share out of the bucket, until the next request of that replica.
//   - A Redis that was restarted, or another one after a failover, has lost the state or a part of it. It does not know the script
//     either, so it is asked for its run id: the state that another server wrote is not used. The bucket begins empty, and until
//     the other replicas have had the time to come back the script takes the shares of all that are missing.
//
// What remains is the one call that a replica which was cut off may have saved when it comes back. A replica that crashed looks the
// same as one that was cut off: its share is kept for it, until as many as share the quota are there again or the script drops it. A
// replica that has stopped, or that never got a reply, has no share.
package redisquota

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// idleRenewal is how often a replica without queued calls renews its lease: three of them send less than one request a second.
	idleRenewal = 4 * time.Second
	// idleLease bears one lost renewal. A replica that was idle when Redis was lost has earned nothing before.
	idleLease = 10 * time.Second
	// A replica with queued calls renews its lease in the time of three tokens, within these bounds. The lease bears one late renewal.
	leastRenewal, mostRenewal, leastLease = 300 * time.Millisecond, time.Second, time.Second
	// settling is for how long a new quota keeps the shares of replicas that may come back: they do within 5 s.
	settling = 6 * time.Second
	// late: after this the next replica has the token of one that did not come for it. Redis may take 250 ms each way.
	late = 600 * time.Millisecond
	// forget: a crashed machine is repaired or replaced by then.
	forget = 10 * time.Minute
	// patience is for one reply: a Redis that answers within 250 ms is usable, on a busy machine too. A call may come while a renewal is
	// in progress, and then waits twice this.
	patience = 500 * time.Millisecond
	// retry is between attempts to reach Redis again.
	retry = 250 * time.Millisecond
	// reconnect is after how many attempts there is another connection: to the server that has the name now, with the present files.
	reconnect = 8
	// recheck is how often the run id is compared, beside each time that Redis was lost or does not know the script.
	recheck = 20 * time.Second
)

//go:embed quota.lua
var quotaScript string

//go:embed daily.lua
var dailyScript string

// Options says how replicas reach each other.
type Options struct {
	// Connect connects to Redis, or returns why that is not possible now. It may take a second, is called until it succeeds, and again
	// where the connection has not been of use for two seconds.
	Connect  func() (rueidis.Client, error)
	Prefix   string // of every key; the same for all replicas of one deployment
	Replicas int    // how many share each quota; below 1 counts as 1
	// OnConnectionChange is called when Redis becomes unreachable, when the reason changes, and with nil on recovery. Optional.
	OnConnectionChange func(err error)
}

// Session is this process as one of the replicas that share quotas. Its methods may be called by many goroutines.
type Session struct {
	o        Options
	id       string
	quotaSHA string
	daily    *rueidis.Lua
	patience time.Duration // tests on a busy machine have more

	mu       sync.Mutex // guards the following; no lock is taken under it
	client   rueidis.Client
	away     error  // why calls go on without Redis; nil: they do not
	reported string // what kind of reason was reported; "": none
	buckets  []*Bucket

	kick   chan struct{} // of one place: something is to be sent at once
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	ending sync.WaitGroup // of connections
}

var errNotConnected = errors.New("not connected yet")

// New begins to connect, and lets calls go on alone until that has succeeded. Close must be called.
func New(o Options) *Session { return newSession(o, patience) }

func newSession(o Options, patience time.Duration) *Session {
	o.Replicas = max(o.Replicas, 1)
	if o.OnConnectionChange == nil {
		o.OnConnectionChange = func(error) {}
	}
	sum := sha1.Sum([]byte(quotaScript)) // by which Redis knows a script
	s := &Session{
		o: o, id: rand.Text(), quotaSHA: hex.EncodeToString(sum[:]), daily: rueidis.NewLuaScript(dailyScript),
		patience: patience, away: errNotConnected, kick: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.live()
	return s
}

// Close leaves every quota in good order and ends the connection.
func (s *Session) Close() {
	s.cancel()
	<-s.ended
	for _, b := range s.all() {
		b.Close()
	}
	s.disconnect()
	s.ending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = errors.New("closed")
}

// disconnect ends the connection, which may take a while.
func (s *Session) disconnect() {
	s.mu.Lock()
	client := s.client
	s.client = nil
	s.mu.Unlock()
	if client != nil {
		s.ending.Go(client.Close)
	}
}

// Client returns the connection, or nil while Redis is away.
func (s *Session) Client() rueidis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil
	}
	return s.client
}

// Away returns why calls go on without Redis, nil when they do not.
func (s *Session) Away() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

func (s *Session) connection() rueidis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

func (s *Session) all() []*Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Bucket(nil), s.buckets...)
}

// live renews the leases of all buckets in time, and rejoins when Redis is back.
func (s *Session) live() {
	defer close(s.ended)
	timer, failed := time.NewTimer(0), 0
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.kick:
		case <-s.ctx.Done():
			return
		}
		again, err := s.round()
		if err != nil {
			s.lost(err)
			again = retry
			if failed++; failed%reconnect == 0 {
				s.disconnect()
			}
		} else {
			s.found()
			failed = 0
		}
		timer.Reset(again)
	}
}

// round renews the leases that are due, and returns when the next one is.
func (s *Session) round() (again time.Duration, err error) {
	if err := s.connect(); err != nil {
		return 0, err
	}
	again = idleRenewal
	for _, b := range s.all() {
		next, err := b.renew()
		if err != nil {
			return 0, err
		}
		again = min(again, next)
	}
	return again, nil
}

func (s *Session) connect() error {
	if s.connection() != nil {
		return nil
	}
	client, err := s.o.Connect()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = client
	return nil
}

// soon makes the next renewal come at once.
func (s *Session) soon() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// lost makes every bucket go on alone.
func (s *Session) lost(err error) {
	s.mu.Lock()
	report := s.ctx.Err() == nil && (s.reported == "" || kindOf(err) != noAnswer && kindOf(err) != s.reported)
	if report {
		s.reported = kindOf(err)
	}
	s.away = err
	s.mu.Unlock()
	for _, b := range s.all() {
		b.leave()
	}
	if report {
		s.o.OnConnectionChange(err)
	}
}

// noAnswer is the kind of every error that is no reply of Redis.
const noAnswer = "no answer"

// kindOf returns what must be different for a reason to be reported again: Redis' own first word, such as WRONGPASS.
func kindOf(err error) string {
	var said *rueidis.RedisError
	if errors.As(err, &said) {
		first, _, _ := strings.Cut(said.Error(), " ")
		return first
	}
	return noAnswer
}

func (s *Session) found() {
	s.mu.Lock()
	report := s.away != nil
	s.reported, s.away = "", nil
	s.mu.Unlock()
	if report {
		s.o.OnConnectionChange(nil)
	}
}
