package limiter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// roam is Roam as far as the queue sees it: a quota counted in whole nanoseconds by the arrival time at which the
// bucket would be full (GCRA), and a record of what came. A script answers in the quota's stead, call by call.
type roam struct {
	every time.Duration // between calls
	burst int
	takes time.Duration // to answer
	way   func(*Permit) // passes before a call is here; nil: no time does

	mu      sync.Mutex
	full    time.Time
	sent    []sent
	refused int
	script  []answer
}

type sent struct {
	at   time.Time
	tool string
}

// answer is what Roam says to a call: its status, and how long a pause it asks for.
type answer struct {
	status int
	pause  time.Duration // as for Permit.Throttled
}

// says returns an answer; without a pause it names none.
func says(status int, pause ...time.Duration) answer {
	return answer{status, append(pause, -1)[0]}
}

// fair is the answer in a script that the quota gives.
var fair answer

// answers counts a call that is here now, and answers it.
func (r *roam) answers(tool string) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, sent{time.Now(), tool})
	if len(r.script) > 0 {
		next := r.script[0]
		r.script = r.script[1:]
		if next != fair {
			return next
		}
	}
	if !r.spend(time.Now()) {
		r.refused++
		return says(429, 10*time.Second)
	}
	return says(200)
}

// spend takes a token if there is one.
func (r *roam) spend(now time.Time) bool {
	if r.full.Before(now) {
		r.full = now
	}
	if r.full.Add(r.every).Sub(now) > r.every*time.Duration(r.burst) {
		return false
	}
	r.full = r.full.Add(r.every)
	return true
}

// spendAll spends all tokens, as another client would.
func (r *roam) spendAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.spend(time.Now()) {
	}
}

func (r *roam) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

func (r *roam) journal() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// fixture is a queue in front of a roam that has the same quota.
type fixture struct {
	*roam
	queue *Queue
}

func newFixture(t *testing.T, perSecond float64, burst int, jitter time.Duration, o Options) *fixture {
	t.Helper()
	f := &fixture{roam: &roam{every: time.Duration(float64(time.Second) / perSecond), burst: burst}}
	if o.Bucket == nil {
		b, err := NewLocal(perSecond, float64(burst), jitter)
		if err != nil {
			t.Fatal(err)
		}
		o.Bucket = b
	}
	f.queue = New(o)
	t.Cleanup(f.queue.Close)
	return f
}

// call has a call queued and sent, and again when Roam refused it, until it is answered. The error says why it was not.
func (f *fixture) call(ctx context.Context, made *Call) error {
	for {
		permit, err := made.Wait(ctx, f.queue)
		if err != nil {
			return err
		}
		refused, err := f.send(ctx, made, permit)
		permit.Release()
		if !refused || err != nil {
			return err
		}
	}
}

// send has a permit's call come to Roam, and reports whether that refused it.
func (f *fixture) send(ctx context.Context, made *Call, permit *Permit) (refused bool, err error) {
	if f.way != nil {
		f.way(permit)
	}
	a := f.answers(made.Caller.Tool.Name)
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	if a.status == 429 {
		permit.Throttled(a.pause)
		return true, nil
	}
	permit.Answered()
	permit.FirstByte()
	return false, nil
}

func (f *fixture) post(tool string) error {
	return f.call(context.Background(), from(tool))
}

func from(tool string) *Call {
	return &Call{Caller: Caller{Tool: Tool{Name: tool}, Urgency: Usual, Longest: -1}}
}

func within(d time.Duration, tool string) *Call {
	made := from(tool)
	made.Caller.Longest = d
	return made
}

// refusalOf fails the test unless err is a Refusal for this reason.
func refusalOf(t *testing.T, err, reason error) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || !errors.Is(err, reason) {
		t.Fatalf("error = %v, want a refusal: %v", err, reason)
	}
	return r
}

func since(start time.Time, s []sent) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, "%v ", c.at.Sub(start))
	}
	return b.String()
}
