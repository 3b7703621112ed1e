package limiter

import (
	"math"
	"time"

	"roamproxy/limiter/fairqueue"
)

// forecast returns when queued calls will be dispatched, if no others come and Roam answers as it did. It copies the queue and
// dispatches the copy: 1,000 calls of 50 tools take some 40 µs (BenchmarkAdmission). All times are from the moment it was made.
type forecast struct {
	now     time.Time
	calls   *fairqueue.Queue[*call]
	plan    plan
	cost    float64 // tokens that one of our calls takes, with those that other replicas take meanwhile
	at      time.Duration
	times   []time.Duration // when calls were dispatched, or will be; those in flight come first
	slots   int
	held    time.Duration // how long each call holds its slot
	margin  float64       // tokens held back
	reserve float64       // that batch tools leave to the others
	rough   time.Duration // how far the forecast may be off
	probe   bool          // the next call is the probe, whose answer all others wait for
	most    time.Duration // a call that leaves later than this leaves at any time after it
}

// moment is how long the dispatch of a call may take that has its token: the dispatcher wakes up, and the state is written.
const moment = time.Millisecond

func (s *state) forecast(now time.Time) *forecast {
	f := s.forecastWithout(now)
	f.calls.Copy(s.calls)
	return f
}

// forecastWithout returns a forecast without the queued calls.
func (s *state) forecastWithout(now time.Time) *forecast {
	f := &s.latest
	*f = forecast{
		now: now, calls: f.calls, times: f.times[:0], plan: s.bucket.plan(now), cost: 1 / s.part().Rate,
		slots: s.slots.of(s.MaxInFlight), held: time.Duration(s.held), rough: moment, margin: s.margin(now), reserve: s.reserve(now),
		most: never,
	}
	if s.pause.state == PauseOpen {
		for _, p := range s.inFlight {
			f.times = append(f.times, p.left.Sub(now))
		}
	} else {
		f.afterPause(s, now)
	}
	if len(f.times) >= f.slots {
		f.rough += f.held // Roam may take longer for the next ones
	}
	f.at = max(f.at, s.tokenAt.Sub(now), s.pause.heldFor(now))
	return f
}

// afterPause begins the forecast with the probe, whose answer all others wait for. Calls that left before it will have been answered.
func (f *forecast) afterPause(s *state, now time.Time) {
	if s.pause.state == PauseShut {
		f.at, f.probe = s.pause.remaining(now), true
		return
	}
	left := now
	if n := len(s.inFlight); n > 0 && !s.pause.elsewhere { // no call left after the probe
		left = s.inFlight[n-1].left
	}
	f.times = append(f.times, left.Sub(now))
	f.at = max(left.Sub(now)+f.held, 0)
	f.plan.Resumed(f.at)
}

// next dispatches the next call, and returns it and when that is; nil when none is queued.
func (f *forecast) next() (*call, time.Duration) {
	at := f.due()
	if at == never {
		return nil, 0
	}
	return f.dispatch(at), at
}

// due returns when the next call will be dispatched.
func (f *forecast) due() time.Duration {
	if f.calls.Len() == 0 {
		return never
	}
	return f.when(f.calls.Need(f.reserve))
}

// when returns when a call that needs this many tokens could be dispatched.
func (f *forecast) when(need float64) time.Duration {
	return f.plan.When(f.slot(), need-1+f.margin, f.cost)
}

// dispatch dispatches the next call at a time, and returns it. One that has expired by then takes no token.
func (f *forecast) dispatch(at time.Duration) *call {
	c := f.calls.Pop(f.calls.Need(f.reserve), f.reserve).Value
	if c == nil || c.expires.IsZero() || !c.expires.Before(f.now.Add(at)) {
		f.spend(at)
	}
	return c
}

// spend lets a call leave at a time.
func (f *forecast) spend(at time.Duration) {
	f.plan.Spend(at, f.cost)
	f.at = at
	f.times = append(f.times, at)
	if f.probe {
		f.at, f.probe = at+f.held, false
		f.plan.Resumed(f.at)
	}
}

// slot returns when the next call finds a slot.
func (f *forecast) slot() time.Duration {
	i := len(f.times) - f.slots
	if f.probe || i < 0 {
		return f.at
	}
	return max(f.at, f.times[i]+f.held)
}

// nth returns when a call would be dispatched that has n others before it.
func (f *forecast) nth(n int) time.Duration {
	for range n {
		f.spend(f.when(1))
	}
	return f.when(1)
}

// latest returns a bound on nth that takes no longer where n is large: the calls take the time of their tokens and that of their slots,
// one after the other rather than at once. A pause may leave no tokens, and the rate never falls.
func (f *forecast) latest(n int) time.Duration {
	calls := float64(n+1) * f.cost
	tokens := calls + f.reserve + f.margin - min(f.plan.level, 0) + float64(f.plan.calls)
	rounds := time.Duration(n/f.slots + 2) // the first slot may have to be found, and the probe's be left
	return f.at + seconds(tokens/f.plan.limits.Rate) + rounds*f.held
}

// arrival is a call that is not queued yet.
type arrival struct {
	tool Tool
	rank int64
	at   time.Duration // when it comes
}

// placement is when an arrival enters the queue and leaves it.
type placement struct {
	enters time.Duration // the queue has room for it
	leaves time.Duration // it is dispatched
	own    int           // queued calls of its tool when it entered
}

// arrive has a call come at its time, and others, sorted by theirs.
func (f *forecast) arrive(a arrival, maxQueue int, others []arrival) (p placement) {
	if f.calls.Len() == 0 && a.at == 0 && len(others) == 0 { // the usual case, and Queue.Forecast asks for a whole burst of it
		return placement{leaves: f.pass(a.tool)}
	}
	mine, entered, last := &call{}, false, time.Duration(0)
	for {
		due, at := f.due(), max(a.at, last)
		room := !entered && (a.at < due || a.at == 0) && f.hasRoom(a, maxQueue, at, others)
		switch {
		case !entered && len(others) > 0 && others[0].at < due && (others[0].at <= at || !room && due == never):
			f.push(others[0], nil)
			last, others = max(last, others[0].at), others[1:]
		case room:
			entered, p.enters, p.own = true, at, f.calls.FlowLen(a.tool.FlowName())
			f.push(a, mine)
		default:
			if last = due; f.dispatch(due) == mine || due > f.most {
				p.leaves = due
				return p
			}
		}
	}
}

// pass has a call of t come to an empty queue, and returns when it is dispatched.
func (f *forecast) pass(t Tool) time.Duration {
	need := 1.0
	if t.Batch {
		need += f.reserve
	}
	at := f.when(need)
	f.spend(at)
	return at
}

// spacing returns how far calls are apart where many are queued.
func (f *forecast) spacing() time.Duration {
	return max(seconds(f.cost/f.plan.limits.Rate), f.held/time.Duration(f.slots))
}

// hasRoom reports whether the queue has a place for a at a time, beside those of the others that come within a moment.
func (f *forecast) hasRoom(a arrival, maxQueue int, at time.Duration, others []arrival) bool {
	all, own, flow := f.calls.Len(), 0, a.tool.FlowName()
	if all >= maxQueue {
		return false
	}
	if a.tool.MaxQueue > 0 {
		own = f.calls.FlowLen(flow)
	}
	for _, o := range others {
		if o.at > at+punctual {
			break
		}
		if all++; o.tool.FlowName() == flow {
			own++
		}
	}
	return all < maxQueue && (a.tool.MaxQueue <= 0 || own < a.tool.MaxQueue)
}

// push adds a call that cannot leave before it comes.
func (f *forecast) push(a arrival, c *call) {
	f.calls.Push(a.tool.flow(), a.rank, c)
	f.at = max(f.at, a.at)
}

// never is later than everything.
const never = time.Duration(math.MaxInt64)
