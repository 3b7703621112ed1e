// Package limiter is the queue in front of one quota of the Roam HQ API.
//
// Roam lets a workspace make a burst of calls and then a steady few, and answers 429 to a client that sends more. A Queue keeps
// every call that cannot go yet in a fair order, asks a Bucket for a token only at the moment at which the first of them could
// leave, and stops all of them while Roam says 429. The caller waits for a Permit, sends the call, and reports what
// Roam answered; limiter/transport does so for HTTP.
//
//	arrives ──► admitted? ──► queue ──► slot ──► pause over? ──► token ──► state written ──► sent
//	                            ▲                                                              │
//	                            └─────────── 429: same place, the whole queue pauses ◄─────────┘
//
// A background refresh (Call.Background) is sent only when no other call needs the token. A call for which several
// tools wait has the place of the most favoured of them: Call.Favour.
//
// A call that was refused, that expired or whose tool left was never sent. This package does not know HTTP, credentials or
// metrics: it reports events to an Observer, and Queue.State returns the present state.
//
// Packages below it: fairqueue is the order of the calls, bootclock the clock. Packages on top of it: transport is HTTP, redisquota a
// Bucket and a Sharing for replicas, quotafile a Keeper on disk.
//
// Lock order: Call.mu, Queue.keeping, Queue.mu, then the locks of a Bucket or a Sharing, which call nothing.
package limiter

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"roamproxy/limiter/fairqueue"
)

// The reasons why a call gets no permit. Each means: not sent.
var (
	// ErrQueueFull says that the queue, or the tool's part of it, is at its bound.
	ErrQueueFull = errors.New("limiter: the queue is full")
	// ErrWaitTooLong says that the call would wait, or has waited, for longer than it may.
	ErrWaitTooLong = errors.New("limiter: the wait is longer than the call may wait")
	// ErrPaused says that Roam answered 429 and its pause outlasts the call's longest wait.
	ErrPaused = errors.New("limiter: paused because Roam answered 429")
	// ErrBusy says that there is no token for a background call: other calls are queued, or the bucket holds too little.
	ErrBusy = errors.New("limiter: no token for a background call")
	// ErrClosed says that the queue is shutting down.
	ErrClosed = errors.New("limiter: shutting down")
)

// Refusal is the error of a call that got no permit. It was not sent and may be repeated after RetryAfter.
type Refusal struct {
	Reason     error         // one of the above, or that of a step before the queue
	RetryAfter time.Duration // after this long the same call would be admitted, if the queue goes as forecast
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%v; not sent, try again in %v", r.Reason, r.RetryAfter.Round(time.Millisecond))
}

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Reason }

// Tool is the tool that makes a call, as far as the queue needs to know. The same name always comes with the same values, but for a
// reload.
type Tool struct {
	Name     string
	Flow     string // of the program behind it: tools of one flow share it, and their part of all that is bounded; empty: Name
	Weight   int    // share of the quota while others wait too; below 1 counts as 1
	MaxQueue int    // calls of this tool's flow in the queue; 0: as many as the queue holds
	Batch    bool   // background work: leaves the reserve of the burst to the others
}

// FlowName returns Flow, or Name where that is empty: what the tool is called where resources are shared.
func (t Tool) FlowName() string { return cmp.Or(t.Flow, t.Name) }

func (t Tool) flow() fairqueue.Flow {
	return fairqueue.Flow{Name: t.FlowName(), Weight: t.Weight, Batch: t.Batch}
}

// Caller describes one call to the queue.
type Caller struct {
	Tool    Tool
	Urgency int           // RFC 9218: 0 to 7, Usual where the tool says nothing; others are brought into that range
	MaxWait time.Duration // a call that would wait longer is not admitted; 0: Options.MaxWait
	Longest time.Duration // how long the tool itself waits; below 0: without a bound
}

// Urgencies of RFC 9218, section 4.1: from 0, the most urgent, to 7.
const (
	Usual   = 3 // what a call without one has
	mildest = 7
)

// Outcome is how a call's wait in the queue ended.
type Outcome string

// The outcomes.
const (
	Sent     Outcome = "sent"     // got a permit
	Refused  Outcome = "refused"  // was not admitted
	Canceled Outcome = "canceled" // its tool left, or the queue was closed
	Expired  Outcome = "expired"  // its longest wait ended first
)

// Outcomes returns every Outcome.
func Outcomes() []Outcome { return []Outcome{Sent, Refused, Canceled, Expired} }

// Observer gets what happens to calls. Its methods are called one at a time, with the queue's lock held: they must be quick and must
// not call the Queue.
type Observer interface {
	// Waited reports how long a call was queued and how that ended.
	Waited(tool string, outcome Outcome, wait time.Duration)
	// Throttled reports that Roam answered 429.
	Throttled()
	// PauseBegan reports that the queue stopped, for this long unless it is resumed.
	PauseBegan(d time.Duration)
	// PauseEnded reports that calls are dispatched again.
	PauseEnded()
}

// noObserver ignores everything.
type noObserver struct{}

func (noObserver) Waited(string, Outcome, time.Duration) {}
func (noObserver) Throttled()                            {}
func (noObserver) PauseBegan(time.Duration)              {}
func (noObserver) PauseEnded()                           {}
