package limiter

import (
	"context"
	"sync"
	"time"
)

// Options says how a Queue behaves. Bucket is needed; a bound of zero takes the default that its line names.
type Options struct {
	Bucket       Bucket
	MaxInFlight  int           // calls under way at once; 10
	MaxWait      time.Duration // longest a call may wait; 60 s
	MaxQueue     int           // calls in the line, all tools together; 1000
	DefaultPause time.Duration // a 429 without a usable Retry-After; 10 s
	MaxPause     time.Duration // a longer Retry-After is probed after this long; 5 min
	Adapt        bool          // learn from refusals how much of the quota is left for us
	Paused       time.Duration // Roam's pause of before a restart goes on for this long; 0: none, below 0: over but not yet probed
	Keeper       Keeper        // writes level and pause down before a call leaves; nil: they are not kept
	Observer     Observer      // nil: nobody listens
}

func (o Options) withDefaults() Options {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 10
	}
	if o.MaxWait <= 0 {
		o.MaxWait = time.Minute
	}
	if o.MaxQueue <= 0 {
		o.MaxQueue = 1000
	}
	if o.DefaultPause <= 0 {
		o.DefaultPause = 10 * time.Second
	}
	if o.MaxPause <= 0 {
		o.MaxPause = 5 * time.Minute
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	return o
}

// Queue is the line in front of one quota. Its methods may be called at once by many. One goroutine, the dispatcher, makes
// every decision to let a call leave; Close ends it.
type Queue struct {
	keeper   Keeper
	observer Observer
	epoch    time.Time // ranks count from here

	mu          sync.Mutex // guards all below; held for arithmetic only, never while a bucket is asked for a token or a disk for anything
	options     Options    // the bounds in force
	bucket      Bucket     // the dispatcher, which alone replaces it, asks it without the lock
	replacement *replacement
	changed     bool // by Reconfigure, so what the bucket said before is no longer true
	line        line
	deadlines   order[*call] // who waits, the one whose longest wait ends first on top
	arrivals    order[*call] // who waits, the one that came first on top
	spares      []*call      // who asked for a turn that nobody waits for; the dispatcher answers at once
	taken       []time.Time  // when each call that holds a slot left, the earliest first
	held        held
	outlook     forecast // the last one
	spread      spread
	pause       pause
	emptied     time.Time // when a call left that Roam refused, having nothing left
	sent        int       // calls since, but for the refused
	full        bool      // so was the bucket since then, for want of calls
	careful     int       // after a pause, the calls that may be under way at once; 0: MaxInFlight
	tokenAt     time.Time // the bucket said that there is no token before this
	returned    int       // tokens whose calls left in the moment of their turn, to be put back
	sleeps      time.Time // the dispatcher looks again by itself at this time
	closed      bool
	dismissed   int // calls that waited when it was closed, and come again

	keeping sync.Mutex    // taken before mu: what is written last is what was true last
	wake    chan struct{} // of one place: the dispatcher should look again
	stop    chan struct{}
	stopped chan struct{}
}

// New starts a queue. Close must be called to end its goroutine.
func New(o Options) *Queue {
	o = o.withDefaults()
	q := &Queue{
		bucket: o.Bucket, keeper: o.Keeper, observer: o.Observer, options: o,
		epoch: time.Now(), full: true,
		line: newLine(),
		deadlines: order[*call]{
			before: func(a, b *call) bool { return a.deadline.Before(b.deadline) },
			stands: func(c *call, i int) { c.due = i },
		},
		arrivals: order[*call]{
			before: func(a, b *call) bool { return a.arrived.Before(b.arrived) },
			stands: func(c *call, i int) { c.age = i },
		},
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if o.Paused != 0 {
		paused := min(o.Paused, o.MaxPause)
		q.pause.begin(q.epoch, paused)
		q.observer.PauseBegan(max(paused, 0))
	}
	if s, ok := q.bucket.(sharer); ok {
		s.serve(q)
	}
	go q.dispatch()
	return q
}

// Caller is who asks for a turn, and how.
type Caller struct {
	Tool    Tool
	Urgency int           // RFC 9218: 0 to 7, Usual where the tool says nothing; others are brought into that range
	Longest time.Duration // longest wait, capped by MaxWait; below 0: MaxWait
}

type verdict struct {
	turn *Permit
	err  error
}

// Wait stands in the line until it is the caller's turn. The error is a *Refusal, at once or at the caller's longest wait,
// or the cause of ctx when that ends first; in either case nothing was spent. The Permit must be ended with Release.
func (q *Queue) Wait(ctx context.Context, caller Caller) (*Permit, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c, err := q.join(&caller)
	if err != nil {
		return nil, err
	}
	return q.stand(ctx, c)
}

// Again stands in the line for a call whose turn has ended: at the front of its tool's lane, with its first deadline, and
// without being refused for the line's length. A spare turn is tried for once more.
func (q *Queue) Again(ctx context.Context, t *Permit) (*Permit, error) {
	if t.call.spare {
		return q.TryWait(ctx, Caller{Tool: t.call.lane.tool})
	}
	if err := q.rejoin(t.call); err != nil {
		return nil, err
	}
	return q.stand(ctx, t.call)
}

func (q *Queue) join(caller *Caller) (*call, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	c, longest := q.call(now, *caller)
	if err := q.admit(now, &caller.Tool, c, longest); err != nil {
		q.observer.Waited(caller.Tool.Name, Refused, 0)
		return nil, err
	}
	if q.line.waiting == 0 && q.pause.state == open && q.bucket.Level(now) > q.bucket.Limits(now).Burst-lacks {
		q.full = true
	}
	q.enter(c, caller.Tool)
	return c, nil
}

// call is what caller asks for at now, and the longest that it may wait.
func (q *Queue) call(now time.Time, caller Caller) (*call, time.Duration) {
	longest := q.options.MaxWait
	if caller.Longest >= 0 {
		longest = min(longest, caller.Longest)
	}
	c := &call{
		urgency:  min(max(caller.Urgency, 0), mildest),
		arrived:  now,
		entered:  now,
		deadline: now.Add(longest),
		index:    -1,
		ready:    make(chan verdict, 1),
	}
	c.rank = rank(now.Sub(q.epoch), c.urgency)
	return c, longest
}

func (q *Queue) rejoin(c *call) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if q.closed {
		return q.dismissal(now, q.dismissed, now.Sub(c.entered))
	}
	c.again, c.entered = true, now
	q.enter(c, c.lane.tool)
	return nil
}

// enter puts c into the line. The dispatcher is woken only when it would otherwise sleep past something new.
func (q *Queue) enter(c *call, t Tool) {
	q.line.push(c, t)
	q.deadlines.push(c)
	q.arrivals.push(c)
	if q.line.waiting == 1 || c.deadline.Before(q.sleeps) {
		q.look()
	}
}

func (q *Queue) stand(ctx context.Context, c *call) (*Permit, error) {
	select {
	case v := <-c.ready:
		return v.turn, v.err
	case <-ctx.Done():
		q.leave(c)
		return nil, context.Cause(ctx)
	}
}

// leave takes c out of the line, or gives back the turn that it got in the same moment.
func (q *Queue) leave(c *call) {
	q.mu.Lock()
	select {
	case v := <-c.ready:
		q.mu.Unlock()
		if v.turn != nil {
			v.turn.unused()
		}
		return
	default:
	}
	q.take(c)
	q.observer.Waited(c.lane.tool.Name, Canceled, time.Since(c.entered))
	q.mu.Unlock()
}

// take removes c from the line.
func (q *Queue) take(c *call) {
	q.line.remove(c)
	q.gone(c)
}

// gone removes c, which is no longer in the line, from the other orders.
func (q *Queue) gone(c *call) {
	q.deadlines.take(c.due)
	q.arrivals.take(c.age)
}

// Resume ends a pause by hand; the next call is still sent alone, to see what Roam says. It reports whether there was one.
func (q *Queue) Resume() bool {
	q.mu.Lock()
	paused := q.pause.state == shut
	if paused {
		q.pause.until = time.Now()
		q.tell("resume")
		q.look()
	}
	q.mu.Unlock()
	q.keep()
	return paused
}

// Reconfigure puts the bounds of o in force: MaxInFlight, MaxWait, MaxQueue, DefaultPause, MaxPause and Adapt, with the same
// defaults as in New. The rest of o is not looked at; a bucket is changed by its own means or by Replace, before this. Whoever waits keeps place and
// deadline, even where the new bounds would not have let him in, calls under way go on, and a pause lasts as long as it would
// have, or for MaxPause from now where that is shorter.
func (q *Queue) Reconfigure(o Options) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.options = o.withDefaults()
	if latest := time.Now().Add(q.options.MaxPause); q.pause.state == shut && q.pause.until.After(latest) {
		q.pause.until = latest
	}
	if !q.options.Adapt {
		q.bucket.Learn(Learned{})
	}
	q.changed = true
	q.look()
}

// defaultPause is for a 429 that does not say how long.
func (q *Queue) defaultPause() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.options.DefaultPause
}
