package limiter

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Replicas share a quota in Redis (or Valkey). All that they share of it is one hash, and one script does everything with it,
// so that nothing can come between two steps: the bucket, what was learned, the pause, whose turn the next token is, and which
// replicas are there.
//
// Why all of them together never spend more than the bucket, whatever happens to Redis, a replica or the network between:
//
//   - A replica spends a token only when the script's answer gave it one, or when it is cut off, and then at rate/replicas from an
//     empty bucket that never holds more than one call. An answer that is lost loses its token.
//   - Every replica tells the script when it was last heard, and is heard ten times a second at least. Cut off, it begins to earn tokens
//     of its own only a lease after it was last heard; a lease after the time that it told last, which is earlier, the script
//     begins to take that share out of the bucket, until it is heard again.
//   - A Redis that was restarted, or another one after a failover, knows nothing or too little. The script sees that by the
//     server's run id and starts with an empty bucket, and until the others have had the time to come back it takes the
//     shares of all who are missing.
//
// What remains is the one call that a replica which was cut off may have saved when it comes back. A replica that died without
// a word looks the same as one that was cut off: its share is kept for it, until as many as share the quota are there again or
// it is forgotten. A replica that says goodbye, or that was never heard, leaves nothing behind.
const (
	beat     = 100 * time.Millisecond // how often each is heard at least, and how old the news of a pause may be
	lease    = time.Second            // ten beats: one that is late cuts nobody off
	settling = 6 * time.Second        // a replica comes back within 5 s of Redis
	late     = 250 * time.Millisecond // after this the next in turn has the token of who did not come for it
	forget   = 10 * time.Minute       // a crashed machine is mended or replaced by then
	patience = 100 * time.Millisecond // for one answer. A call may stand behind a beat that waits as well, and then waits twice this
	away     = 250 * time.Millisecond // between attempts to come back
	renew    = 8                      // attempts, after which there is another connection: to whoever has the name now, with what the files hold now
)

//go:embed share.lua
var shareScript string

// FleetOptions says how replicas find each other.
type FleetOptions struct {
	// Connect connects to Redis, or says why that is not possible now. It may take a second, is asked until it succeeds, and again
	// where the connection has not been of use for two seconds.
	Connect  func() (rueidis.Client, error)
	Prefix   string           // of every key; the same for all replicas of one deployment
	Replicas int              // how many share each quota; below 1 counts as 1
	Changed  func(away error) // told once when Redis is lost, and of another reason, and with nil when it is back; nil: nobody is told
}

// Fleet is this process as one of the replicas that share quotas. Its methods may be called by many goroutines.
type Fleet struct {
	o             FleetOptions
	id            string
	script, calls *rueidis.Lua
	patience      time.Duration // for one answer; the tests of what is shared bear a busy machine

	mu      sync.Mutex // guards the following
	client  rueidis.Client
	away    error  // why calls go on without Redis; nil: they do not
	told    string // what kind of reason somebody was told of; "": of none
	buckets []*Redis

	kick   chan struct{} // of one place: something is to be told at once
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	ending sync.WaitGroup // of connections
}

var errNotYet = errors.New("not connected yet")

// NewFleet begins to connect, and lets calls go on alone until that has succeeded. Close must be called.
func NewFleet(o FleetOptions) *Fleet { return newFleet(o, patience) }

func newFleet(o FleetOptions, patience time.Duration) *Fleet {
	o.Replicas = max(o.Replicas, 1)
	if o.Changed == nil {
		o.Changed = func(error) {}
	}
	f := &Fleet{o: o, id: rand.Text(), patience: patience, away: errNotYet, kick: make(chan struct{}, 1), ended: make(chan struct{})}
	f.script, f.calls = rueidis.NewLuaScript(shareScript), rueidis.NewLuaScript(callsScript)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	go f.live()
	return f
}

// Close says goodbye for every bucket that is left and ends the connection.
func (f *Fleet) Close() {
	f.cancel()
	<-f.ended
	for _, b := range f.all() {
		b.Close()
	}
	f.hangUp()
	f.ending.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = errors.New("closed")
}

// hangUp ends the connection, which may take a while.
func (f *Fleet) hangUp() {
	f.mu.Lock()
	client := f.client
	f.client = nil
	f.mu.Unlock()
	if client != nil {
		f.ending.Go(client.Close)
	}
}

// Client is the connection, or nil while Redis is away.
func (f *Fleet) Client() rueidis.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return nil
	}
	return f.client
}

// Away is why calls go on without Redis, nil when they do not.
func (f *Fleet) Away() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away
}

func (f *Fleet) all() []*Redis {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Redis(nil), f.buckets...)
}

// live is heard once a beat, for every bucket, and comes back when Redis does.
func (f *Fleet) live() {
	defer close(f.ended)
	timer, failed := time.NewTimer(0), 0
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-f.kick:
		case <-f.ctx.Done():
			return
		}
		again, err := f.round()
		if err != nil {
			f.lost(err)
			again = away
			if failed++; failed%renew == 0 {
				f.hangUp()
			}
		} else {
			f.found()
			failed = 0
		}
		timer.Reset(again)
	}
}

// round has every bucket heard that was not lately, and says when the next is due.
func (f *Fleet) round() (again time.Duration, err error) {
	if err := f.connect(); err != nil {
		return 0, err
	}
	again = beat
	for _, b := range f.all() {
		next, err := b.beat()
		if err != nil {
			return 0, err
		}
		again = min(again, next)
	}
	return again, nil
}

func (f *Fleet) connect() error {
	f.mu.Lock()
	client := f.client
	f.mu.Unlock()
	if client != nil {
		return nil
	}
	client, err := f.o.Connect()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.client = client
	return nil
}

// soon has the next beat come at once.
func (f *Fleet) soon() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// lost makes every bucket go on alone.
func (f *Fleet) lost(err error) {
	f.mu.Lock()
	tell := f.ctx.Err() == nil && (f.told == "" || kind(err) != noAnswer && kind(err) != f.told)
	if tell {
		f.told = kind(err)
	}
	f.away = err
	f.mu.Unlock()
	for _, b := range f.all() {
		b.leave()
	}
	if tell {
		f.o.Changed(err)
	}
}

// noAnswer is the kind of every reason that Redis did not give itself.
const noAnswer = "no answer"

// kind is what must be different for a reason to be told again: Redis' own first word, such as WRONGPASS.
func kind(err error) string {
	var said *rueidis.RedisError
	if errors.As(err, &said) {
		first, _, _ := strings.Cut(said.Error(), " ")
		return first
	}
	return noAnswer
}

func (f *Fleet) found() {
	f.mu.Lock()
	tell := f.away != nil
	f.told, f.away = "", nil
	f.mu.Unlock()
	if tell {
		f.o.Changed(nil)
	}
}
