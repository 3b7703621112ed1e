package limiter

import (
	"slices"
	"time"
)

// promise is the time in the Retry-After of a refused caller. Until it passes, or a call of its flow comes, it counts as a queued call,
// so that each refused caller gets a time of its own. A promise refuses no other call: the queue admits the calls that come.
type promise struct {
	tool    Tool
	at      time.Time
	made    time.Time
	longest time.Duration // that its call may wait
}

// wholeSeconds is what a Retry-After header says of a time: it is rounded up, and at least a second.
func wholeSeconds(d time.Duration) time.Duration {
	return max((d + time.Second - 1).Truncate(time.Second), time.Second)
}

// promises are sorted by time.
type promises []promise

// arrivals drops the promises that have passed, and returns the others as the forecast wants them, but for those of calls that a pause
// outlasts: they will be refused again.
func (p *promises) arrivals(now time.Time, pause time.Duration) []arrival {
	*p = slices.DeleteFunc(*p, func(o promise) bool { return o.at.Add(punctual).Before(now) })
	all := make([]arrival, 0, len(*p))
	for _, o := range *p {
		if at := max(o.at.Sub(now), 0); at+o.longest >= pause {
			all = append(all, arrival{o.tool, lastOfFlow, at})
		}
	}
	return all
}

// last returns how long after now the last promise to the flow of t is.
func (p promises) last(now time.Time, t Tool) time.Duration {
	for _, o := range slices.Backward(p) {
		if o.tool.flow().Name == t.flow().Name {
			return max(o.at.Sub(now), 0)
		}
	}
	return 0
}

// maxPromises bounds memory and the forecast's work. At one call a second it is a crowd that takes a quarter of an hour.
const maxPromises = 1000

// add notes a promise.
func (p *promises) add(o promise) {
	if len(*p) >= maxPromises {
		return
	}
	i, _ := slices.BinarySearchFunc(*p, o, func(a, b promise) int { return a.at.Compare(b.at) })
	for i < len(*p) && (*p)[i].at.Equal(o.at) {
		i++
	}
	*p = slices.Insert(*p, i, o)
}

// early is how long after its promise a caller counts as one that comes too early, and not as another caller. A crowd comes within a
// second, and SDKs that ignore Retry-After try again after half a second to two.
const early = time.Second

// keep ends the earliest promise to this flow that is due at now: its caller came. Where none is due, a caller that ignores its
// Retry-After may be here again. It ends the latest promise, or such callers would fill the list with times at which no caller comes.
func (p *promises) keep(now time.Time, flow string) {
	latest := -1
	for i, o := range *p {
		if o.tool.flow().Name != flow {
			continue
		}
		if !o.at.After(now) {
			latest = i
			break
		}
		if now.Sub(o.made) >= early {
			latest = i
		}
	}
	if latest >= 0 {
		*p = slices.Delete(*p, latest, latest+1)
	}
}
