package limiter

import (
	"context"
	"sync"
	"time"

	"roamproxy/limiter/bootclock"
)

// Options says how a Queue behaves. Bucket is needed; a bound of zero takes the default that its line names.
type Options struct {
	Bucket       Bucket
	Sharing      Sharing       // nil: no other process uses this quota
	Learned      AdaptState    // of an earlier process
	MaxInFlight  int           // calls in flight at once; 10
	MaxWait      time.Duration // a call that would wait longer is not admitted; 60 s
	MaxQueue     int           // calls in the queue, all tools together; 1000
	DefaultPause time.Duration // a 429 without a usable Retry-After; 10 s
	Jitter       time.Duration // that the bucket holds tokens back for already
	Reserve      float64       // part of the burst in force that batch tools leave to the others
	MaxPause     time.Duration // a longer Retry-After is probed after this long; 5 min
	Adapt        bool          // learn from refusals how much of the quota is left for us
	Paused       time.Duration // Roam's pause from before a restart lasts this long; 0: none, below 0: over but not yet probed
	Keeper       Keeper        // writes level and pause down before a call leaves; nil: they are not kept
	Observer     Observer      // nil: none

	now func() time.Time // tests have the machine suspended
}

func (o Options) withDefaults() Options {
	o.MaxInFlight = positive(o.MaxInFlight, 10)
	o.MaxWait = positive(o.MaxWait, time.Minute)
	o.MaxQueue = positive(o.MaxQueue, 1000)
	o.DefaultPause = positive(o.DefaultPause, 10*time.Second)
	o.MaxPause = positive(o.MaxPause, 5*time.Minute)
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	if o.now == nil {
		o.now = bootclock.Now
	}
	return o
}

// positive returns n, or byDefault where n is not above 0.
func positive[N int | time.Duration](n, byDefault N) N {
	if n > 0 {
		return n
	}
	return byDefault
}

// Queue is the queue in front of one quota. Its methods may be called by many goroutines. One goroutine, the dispatcher, decides
// when a call leaves; Close ends it.
type Queue struct {
	keeper  Keeper
	keeping sync.Mutex // taken before mu: what is written last is what was true last

	mu          sync.Mutex // guards the following; never held while a bucket or a disk is waited for
	state       state
	replacement *replacement

	now     func() time.Time // a clock that runs while the machine is suspended
	wake    chan struct{}    // of one place: the dispatcher should look again
	stop    chan struct{}
	stopped chan struct{}
}

// New starts a queue. Close must be called to end its goroutine.
func New(o Options) *Queue {
	o = o.withDefaults()
	q := &Queue{
		keeper:  o.Keeper,
		now:     o.now,
		state:   newState(o),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	q.state.wake = func() {
		select {
		case q.wake <- struct{}{}:
		default: // the dispatcher looks anyway
		}
	}
	if o.Sharing != nil {
		o.Sharing.Follow(q.follower(o.Sharing))
	}
	go q.dispatch()
	return q
}

// Wait queues a call of one attempt until it may be sent. The error is a *Refusal, at once or at the call's longest wait, or the cause
// of ctx when that ends first; in either case no token was spent. The Permit must be ended with Release. A call of several attempts, or
// for several callers, is a Call.
func (q *Queue) Wait(ctx context.Context, caller Caller) (*Permit, error) {
	return (&Call{Caller: caller}).Wait(ctx, q)
}

// tryWait is Wait for a background call. It gets its permit at once, when no call is queued, there is no pause, a slot is free, and the
// bucket keeps a token for the next call; otherwise the error is a *Refusal for ErrBusy, ErrPaused or ErrClosed. Its urgency and longest
// wait do not matter.
func (q *Queue) tryWait(ctx context.Context, caller Caller) (*Permit, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	q.mu.Lock()
	c, refusal := q.state.refresh(q.now(), caller)
	q.mu.Unlock()
	if refusal != nil {
		return nil, refusal
	}
	a := <-c.ready // the dispatcher answers as soon as it looks
	if a.permit != nil && ctx.Err() != nil {
		a.permit.Cancel()
		return nil, context.Cause(ctx)
	}
	return a.permit, a.err
}

// enqueue admits a call to the queue, or returns why not.
func (q *Queue) enqueue(caller Caller) (*call, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	c := q.state.newCall(now, caller)
	if refusal := q.state.admit(now, c); refusal != nil {
		q.state.Observer.Waited(caller.Tool.Name, Refused, 0)
		return nil, refusal
	}
	q.state.enter(c)
	return c, nil
}

// requeue queues a call whose permit has ended once more: at the front of its tool's flow, with its first deadline, and without being
// refused for the queue's length.
func (q *Queue) requeue(c *call) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if q.state.closed {
		return q.state.closedRefusal(now)
	}
	q.state.requeue(now, c)
	return nil
}

// await returns what the dispatcher decides about c. When ctx ends first it takes c out of the queue, or gives back the permit that c got
// in the same moment.
func (q *Queue) await(ctx context.Context, c *call) (*Permit, error) {
	select {
	case a := <-c.ready:
		return a.permit, a.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	select {
	case a := <-c.ready:
		q.mu.Unlock()
		if a.permit != nil {
			a.permit.Cancel()
		}
	default:
		q.state.remove(c)
		q.state.Observer.Waited(c.tool.Name, Canceled, q.now().Sub(c.entered))
		q.mu.Unlock()
	}
	return nil, context.Cause(ctx)
}

// Pause holds all calls for d, because an operator wants that, and replaces a pause by hand that there is. Calls are queued or
// refused as in a pause after a 429. It ends by itself, or with Resume. Roam refused no call, so no probe is needed then. It is this
// process's alone: replicas go on, and a restart ends it.
func (q *Queue) Pause(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state.pause.byHand = q.now().Add(max(d, 0))
	q.state.bucket.meter.void()
	q.state.changed()
}

// Resume ends a pause, also one of Pause. After a 429 the next call is still sent alone, as the probe. It reports whether there was
// a pause.
func (q *Queue) Resume() bool {
	q.mu.Lock()
	now := q.now()
	held, paused := q.state.pause.heldFor(now) > 0, q.state.pause.state == PauseShut
	q.state.pause.byHand = time.Time{}
	if paused {
		q.state.pause.until = now
		q.state.publish(EventResumed)
	}
	q.state.changed()
	q.mu.Unlock()
	q.keep()
	return paused || held
}

// Forget resets what was learned about the quota: the configured limits are in force again.
func (q *Queue) Forget() {
	q.mu.Lock()
	q.state.learn(q.now(), AdaptState{})
	q.state.publish(EventLearned)
	q.state.changed()
	q.mu.Unlock()
	q.keep()
}

// Close refuses all queued calls and all that come, with ErrClosed, and ends the dispatcher. Calls in flight are not disturbed.
// It may be called more than once.
func (q *Queue) Close() {
	q.mu.Lock()
	first := !q.state.closed
	q.state.closeOut(q.now())
	q.mu.Unlock()
	if first {
		close(q.stop)
	}
	<-q.stopped
	q.keep()
}
