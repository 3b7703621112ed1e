package limiter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// plannedCall is one call of a random schedule, and its result.
type plannedCall struct {
	tool     Tool
	urgency  int
	at       time.Duration // when it comes
	longest  time.Duration // how long it waits
	patience time.Duration // after which its tool leaves; 0: never

	ended time.Time
	times int // how often it ended
	err   error
}

// schedule is a random load of a queue.
type schedule struct {
	tools    []Tool
	calls    []*plannedCall
	refusals []int         // the calls, as counted by Roam, that are answered 429 without a reason
	restart  time.Duration // the process is killed and another one takes over; 0: never
	takes    time.Duration // Roam's answers
	slots    int
	putBack  time.Duration // the wall clock, while no process runs
	skewed   bool          // the bucket is asked with times that have passed
}

// skewed is a bucket that is asked every third time with a time that has passed.
type skewed struct {
	*Local
	asked int
}

func (b *skewed) Take(now time.Time, d Demand) time.Duration {
	if b.asked++; b.asked%3 == 0 {
		now = now.Add(-time.Minute)
	}
	return b.Local.Take(now, d)
}

// someTools draws from one to most tools of any weights.
func someTools(t *rapid.T, most int) []Tool {
	tools := make([]Tool, rapid.IntRange(1, most).Draw(t, "tools"))
	for i := range tools {
		tools[i] = Tool{Name: fmt.Sprint("tool", i), Weight: rapid.IntRange(1, 4).Draw(t, "weight")}
	}
	return tools
}

func drawSchedule(t *rapid.T) schedule {
	ms := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Millisecond
	}
	s := schedule{slots: rapid.IntRange(1, 10).Draw(t, "slots"), skewed: rapid.IntRange(0, 5).Draw(t, "skewed") == 0}
	if rapid.Bool().Draw(t, "slow") {
		s.takes = ms("takes", 1500)
	}
	plain, whole := rapid.Bool().Draw(t, "all of one urgency"), rapid.Bool().Draw(t, "in whole seconds")
	s.tools = someTools(t, 4)
	for range rapid.IntRange(1, 40).Draw(t, "calls") {
		v := &plannedCall{
			tool: rapid.SampledFrom(s.tools).Draw(t, "tool"), urgency: rapid.IntRange(0, mildest).Draw(t, "urgency"),
			at: ms("at", 30_000), longest: ms("longest", 60_000),
		}
		if whole { // as tokens come, too
			v.at = v.at.Round(time.Second)
		}
		if rapid.IntRange(0, 4).Draw(t, "leaves") == 0 {
			v.patience = time.Millisecond + ms("patience", 20_000)
			if rapid.Bool().Draw(t, "with the token") {
				v.patience = (v.at + v.patience).Round(time.Second) + time.Second - v.at
			}
		}
		if plain {
			v.urgency = Usual
		}
		s.calls = append(s.calls, v)
	}
	s.refusals = rapid.SliceOfN(rapid.IntRange(0, 30), 0, 2).Draw(t, "refusals")
	if rapid.IntRange(0, 3).Draw(t, "restarts") == 0 {
		s.restart, s.putBack = time.Second+ms("restart", 20_000), ms("put back", 3000)
	}
	return s
}

// TestInvariantsOfTheQueue runs random schedules against a Roam of the same quota, and checks what happened.
func TestInvariantsOfTheQueue(t *testing.T) {
	for n := range 20 { // times rapid's 100
		t.Run(fmt.Sprint("hundred ", n), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				s := drawSchedule(rt)
				var broken error
				synctest.Test(t, func(t *testing.T) { broken = s.run(t) })
				if broken != nil {
					rt.Fatal(broken)
				}
			})
		})
	}
}

// rounding is more than the queue may leave a token unused: a wait for one is rounded up to the nanosecond.
const rounding = time.Microsecond

func (s schedule) run(t *testing.T) error {
	const perSecond, burst = 1, 5
	keeper := &memory{}
	options := func(local *Local, r Restored) Options {
		var b Bucket = local
		if s.skewed {
			b = &skewed{Local: local}
		}
		return Options{Bucket: b, MaxInFlight: s.slots, Paused: r.Paused, Learned: r.Learned, Keeper: keeper}
	}
	bucket, _ := NewLocal(perSecond, burst, 0)
	f := newFixture(t, perSecond, burst, 0, options(bucket, Restored{}))
	f.takes = s.takes
	for n := range 31 {
		next := fair
		for _, refused := range s.refusals {
			if refused == n {
				next = says(429, 3*time.Second)
			}
		}
		f.script = append(f.script, next)
	}
	var mu sync.Mutex // guards the results of calls, and f's queue
	queue := func() *Queue { mu.Lock(); defer mu.Unlock(); return f.queue }
	start := time.Now()
	var calls sync.WaitGroup
	var ended atomic.Int64
	for _, v := range s.calls {
		calls.Go(func() {
			time.Sleep(v.at)
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if v.patience > 0 {
				ctx, cancel = context.WithTimeout(ctx, v.patience)
			}
			defer cancel()
			err := (&fixture{f.roam, queue()}).call(ctx, &Call{Caller: Caller{Tool: v.tool, Urgency: v.urgency, Longest: v.longest}})
			mu.Lock()
			defer mu.Unlock()
			v.ended, v.err, v.times = time.Now(), err, v.times+1
			ended.Add(1)
		})
	}
	var broken error
	for tick := time.Duration(0); tick < 100*time.Second; tick += 100 * time.Millisecond {
		time.Sleep(100*time.Millisecond - time.Since(start)%(100*time.Millisecond) + rounding)
		synctest.Wait()
		if s.restart > 0 && tick >= s.restart {
			s.restart = 0
			f.queue.Close() // queued calls are refused; the level and the pause are in the file
			next, _ := NewLocal(perSecond, burst, 0)
			if k := keeper.latest(); k.Sound() {
				k.At, k.Until = k.At.Add(s.putBack), k.Until.Add(s.putBack)
				keeper.Keep(k)
			}
			mu.Lock()
			f.queue = New(options(next, keeper.restore(next)))
			mu.Unlock()
			synctest.Wait()
		}
		if err := workConserving(queue(), s.slots); err != nil && broken == nil && !s.skewed {
			broken = fmt.Errorf("after %v: %w", tick, err)
		}
		if s.restart == 0 && ended.Load() == int64(len(s.calls)) { // nothing can be queued any more
			break
		}
	}
	calls.Wait()
	last := queue()
	state := last.State()
	last.Close()
	return errors.Join(broken, neverOverTheBucket(f), s.noneBeyondItsDeadline(start), s.everyCallEndsOnce(state),
		s.noneWaitsToBeRefused(start), s.boundedUnfairness(start))
}

// workConserving, and no wake-up is lost: while a call is queued, a slot is free, a token is there and there is no pause, the first
// call is dispatched.
func workConserving(q *Queue, slots int) error {
	s := q.State()
	if len(s.Waiting) > 0 && s.InFlight < slots && s.Tokens >= 1 && !s.Paused {
		return fmt.Errorf("work-conserving: %v are queued, %d of %d slots are taken, there are %v tokens, and none is dispatched",
			s.Waiting, s.InFlight, slots, s.Tokens)
	}
	return nil
}

// neverOverTheBucket: Roam refuses no call.
func neverOverTheBucket(f *fixture) error {
	if f.refused > 0 {
		return fmt.Errorf("never over the bucket: Roam refused %d calls", f.refused)
	}
	return nil
}

// noneBeyondItsDeadline: a call without a permit is refused by then, or when the answer to an earlier attempt is there.
func (s schedule) noneBeyondItsDeadline(start time.Time) error {
	for i, v := range s.calls {
		var r *Refusal
		if took := v.ended.Sub(start.Add(v.at)); errors.As(v.err, &r) && took > v.longest+s.takes {
			return fmt.Errorf("none beyond its deadline: call %d was refused after %v, its longest wait is %v: %w", i, took, v.longest, v.err)
		}
	}
	return nil
}

// noneWaitsToBeRefused, unless something came that the forecast could not know: another tool, a more urgent call, a 429, a restart.
func (s schedule) noneWaitsToBeRefused(start time.Time) error {
	urgent := slices.ContainsFunc(s.calls, func(v *plannedCall) bool { return v.urgency != Usual })
	if len(s.tools) > 1 || urgent || len(s.refusals) > 0 || s.putBack > 0 || s.takes > 0 || s.skewed {
		return nil
	}
	for i, v := range s.calls {
		var r *Refusal
		if took := v.ended.Sub(start.Add(v.at)); errors.As(v.err, &r) && !errors.Is(v.err, ErrClosed) && took > 0 {
			return fmt.Errorf("none waits to be refused: call %d waited %v of %v, %w", i, took, v.longest, v.err)
		}
	}
	return nil
}

// boundedUnfairness: before a call that is alone in its flow one call of each other tool is dispatched, or as many as its weight is
// larger, and those that were begun.
func (s schedule) boundedUnfairness(start time.Time) error {
	if len(s.refusals) > 0 || s.putBack > 0 {
		return nil
	}
	for i, v := range s.calls {
		came, left, alone, sent := start.Add(v.at), v.ended.Add(-s.takes), true, map[Tool]int{}
		for _, o := range s.calls {
			leaves := o.ended.Add(-s.takes)
			if o != v && o.tool == v.tool && !o.ended.Before(came) && !start.Add(o.at).After(left) {
				alone = false
			}
			if o.tool != v.tool && o.err == nil && leaves.After(came) && leaves.Before(left) {
				sent[o.tool]++
			}
		}
		for o, n := range sent {
			if most := o.Weight/v.tool.Weight + 2; v.err == nil && alone && n > most {
				return fmt.Errorf("bounded unfairness: call %d of %s, weight %d, waited for %d calls of %s, weight %d, want at most %d",
					i, v.tool.Name, v.tool.Weight, n, o.Name, o.Weight, most)
			}
		}
	}
	return nil
}

// everyCallEndsOnce, with an answer, a refusal, or because its tool left, and holds neither slot nor place then.
func (s schedule) everyCallEndsOnce(left State) error {
	for i, v := range s.calls {
		var r *Refusal
		if ok := v.err == nil || errors.As(v.err, &r) || v.patience > 0 && errors.Is(v.err, context.DeadlineExceeded); v.times != 1 || !ok {
			return fmt.Errorf("every call ends once: call %d ended %d times, with %v", i, v.times, v.err)
		}
	}
	if left.InFlight != 0 || len(left.Waiting) != 0 {
		return fmt.Errorf("every call ends once: %d slots are taken and %v are queued after the last", left.InFlight, left.Waiting)
	}
	return nil
}
