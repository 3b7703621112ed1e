// Package limiter is the line in front of one quota of the Roam HQ API.
//
// Roam lets a workspace make a burst of calls and then a steady few, and answers 429 to whoever asks for more. A Queue
// keeps every call that cannot go yet in a fair line, asks a Bucket for a token only at the moment at which the head of
// the line could leave, and stops the whole line while Roam says 429. A Transport is the http.RoundTripper that makes a
// call stand in that line, sends it, and sends it round again when Roam refused it.
//
//	arrives ──► line ──► slot ──► pause over? ──► token ──► state written ──► leaves
//	              ▲                                                             │
//	              └──────────────── 429: same place, whole line pauses ◄────────┘
//
// A call that nobody waits for goes with Queue.TryWait (Call.Background), only when no one else would have the turn. A call for which
// several wait stands as the most favoured of them would: Call.Favour.
//
// A call that was refused, that expired or whose tool went away was never sent. Nothing in this package knows HTTP paths,
// credentials or metrics: what happens is told to an Observer, and what is true now is asked with Queue.State.
package limiter

import (
	"errors"
	"fmt"
	"time"
)

// The reasons why a call does not get its turn. Each means: not sent.
var (
	// ErrQueueFull says that the line, or the tool's own part of it, is at its bound.
	ErrQueueFull = errors.New("limiter: the line is full")
	// ErrWaitTooLong says that the turn would come, or would have come, after the call's longest wait.
	ErrWaitTooLong = errors.New("limiter: the wait is longer than the call may wait")
	// ErrPaused says that Roam answered 429 and its pause outlasts the call's longest wait.
	ErrPaused = errors.New("limiter: paused because Roam said 429")
	// ErrBusy says that there is no turn to spare: somebody waits, or the bucket holds too little.
	ErrBusy = errors.New("limiter: no turn to spare")
	// ErrTooManyOpen says that the tool has as many open responses as it may.
	ErrTooManyOpen = errors.New("limiter: too many responses are open")
	// ErrClosed says that the queue is shutting down.
	ErrClosed = errors.New("limiter: shutting down")
)

// Refusal is the error of a call that did not get its turn. It was not sent and may be repeated after RetryAfter.
type Refusal struct {
	Reason     error         // ErrQueueFull, ErrWaitTooLong, ErrPaused, ErrBusy, ErrTooManyOpen or ErrClosed
	RetryAfter time.Duration // after this long the same call would be let into the line, if the line goes as predicted
	Waited     time.Duration // zero when refused on arrival
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%v; not sent, try again in %v", r.Reason, r.RetryAfter.Round(time.Millisecond))
}

func (r *Refusal) Unwrap() error { return r.Reason }

// Tool is who asks, as far as the line is concerned. The same name always comes with the same values.
type Tool struct {
	Name     string
	Flow     string // whose part of the queue its calls are: tools of one flow share a turn; empty: Name
	Weight   int    // share of the quota while others wait too; below 1 counts as 1
	MaxQueue int    // calls of this tool in the line; 0: as many as the line holds
}

// The outcomes that an Observer hears of.
const (
	Sent     = "sent"     // got its turn
	Refused  = "refused"  // was not let into the line
	Canceled = "canceled" // its tool went away, or the queue was closed
	Expired  = "expired"  // its longest wait ended first
)

// Observer hears what happens to calls. Its methods are called one at a time, with the line's lock held: they must be quick
// and must not call the Queue.
type Observer interface {
	// Waited tells how long a call was in the line and how that ended.
	Waited(tool, outcome string, wait time.Duration)
	// Throttled tells that Roam answered 429.
	Throttled()
	// PauseBegan tells that the line stopped, for this long unless somebody resumes it.
	PauseBegan(d time.Duration)
	// PauseEnded tells that the line moves again.
	PauseEnded()
}

type nobody struct{}

func (nobody) Waited(string, string, time.Duration) {}
func (nobody) Throttled()                           {}
func (nobody) PauseBegan(time.Duration)             {}
func (nobody) PauseEnded()                          {}
