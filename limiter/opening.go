package limiter

import (
	"slices"
	"time"
)

// horizon is how much later than necessary a call comes back so that it takes no token that was promised to another tool's call. Some of
// those calls may not come.
const horizon = 30 * time.Second

// opening returns the first whole second from after on at which a call like c that comes then leaves within longest. It does so even as
// the last of all, and though others come within the next second. A call that hardly waits needs its token at the moment at which it
// comes, so it comes when no other does.
func (s *state) opening(now time.Time, c *call, others []arrival, after, longest time.Duration) time.Duration {
	last, queued := time.Duration(0), s.calls.Len()
	if len(others) > 0 {
		last = others[len(others)-1].at
	}
	if queued > farAhead {
		return wholeSeconds(max(after, last, s.forecastWithout(now).latest(queued+len(others))))
	}
	expire := 2 * s.MaxWait
	drained := min(s.forecastWithout(now).nth(queued), expire)
	o := opening{forecast: s.forecastWithout(now), queued: queued, old: queued, expire: expire, others: others}
	margin := o.rough
	first := max(after-time.Second, margin+drained-longest)
	end := first + horizon
	if after == 0 { // its tool is no part of the crowd
		end = first + punctual
	}
	at := wholeSeconds(max(first, min(last-time.Second, end)))
	for at < end {
		o.until(at)
		leaves := margin + o.leaves(at-margin, at-margin+longest, c.tool.Batch)
		if leaves <= at+longest && o.admits(c.tool, s.MaxQueue, at) {
			break
		}
		at = max(at+time.Second, wholeSeconds(leaves-longest))
	}
	return at
}

// opening is a forecast in which a call that comes later is dispatched later, of whatever tool it is.
type opening struct {
	*forecast
	queued int           // calls
	old    int           // those of them that are queued now
	expire time.Duration // when the last of these are refused
	others []arrival     // that come later
}

// until has the others come that come by a time, and the calls leave that leave before it.
func (o *opening) until(at time.Duration) {
	for {
		due := never
		if o.queued > 0 {
			due = o.when(1)
		}
		switch {
		case len(o.others) > 0 && o.others[0].at <= min(at, due):
			o.at = max(o.at, o.others[0].at)
			o.queued++
			o.others = o.others[1:]
		case due >= at:
			return
		case due > o.expire && o.old > 0:
			o.queued, o.old = o.queued-o.old, 0
		default:
			o.spend(due)
			o.queued, o.old = o.queued-1, max(o.old-1, 0)
		}
	}
}

// before returns how many calls are dispatched before one that comes at a time.
func (o *opening) before(at time.Duration) int {
	n := 0
	for n < len(o.others) && o.others[n].at < at+time.Second {
		n++
	}
	return o.queued + n
}

// admits reports whether the queue has a place for a call of t that comes at a time.
func (o *opening) admits(t Tool, maxQueue int, at time.Duration) bool {
	n := o.before(at)
	return n < maxQueue && (t.MaxQueue <= 0 || n < t.MaxQueue)
}

// leaves returns when a call leaves that comes at a time; where that is later than by, any time between them.
func (o *opening) leaves(at, by time.Duration, batch bool) time.Duration {
	f := *o.forecast
	f.at = max(f.at, at)
	f.plan.times = slices.Clone(f.plan.times)
	for range o.before(at) {
		if at = f.when(1); at > by {
			return at
		}
		f.spend(at)
	}
	if batch {
		return f.when(1 + f.reserve)
	}
	return f.when(1)
}
