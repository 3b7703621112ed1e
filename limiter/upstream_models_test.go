package limiter_test

import (
	"math"
	"math/rand/v2"
	"time"
)

// upstream is a model of a server's rate limiter. All models advertise ten calls at once and one a second. None shares arithmetic
// with package limiter, so that it can judge it.
type upstream interface {
	// admit decides on a call that arrives at now. For a refused call it returns how long until one would be admitted.
	admit(now time.Time, r *rand.Rand) (admitted bool, retryAfter time.Duration)
}

// releaser is an upstream that must be told when it has finished an admitted call.
type releaser interface{ release() }

// delayer is an upstream that takes longer over an admitted call than the network does.
type delayer interface {
	delay(now time.Time) time.Duration
}

const (
	modelRate  = 1.0
	modelBurst = 10.0
)

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// tokenBucket refills continuously. level may be below 0 where charge is set.
type tokenBucket struct {
	rate, burst, level float64
	last               time.Time
	charge             bool    // a refused call costs a token too, down to one burst of debt
	told               float64 // part of the true wait that Retry-After tells; 0: all of it
}

func newTokenBucket() *tokenBucket {
	return &tokenBucket{rate: modelRate, burst: modelBurst, level: modelBurst}
}

func (b *tokenBucket) refill(now time.Time) {
	if !b.last.IsZero() {
		b.level = min(b.level+now.Sub(b.last).Seconds()*b.rate, b.burst)
	}
	b.last = now
}

func (b *tokenBucket) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	b.refill(now)
	if b.level >= 1-1e-9 {
		b.level--
		return true, 0
	}
	if b.charge {
		b.level = max(b.level-1, -b.burst)
	}
	wait := (1 - b.level) / b.rate
	if b.told > 0 {
		wait *= b.told
	}
	return false, inSeconds(wait)
}

// gcra is the generic cell rate algorithm: a theoretical arrival time and a tolerance.
type gcra struct{ arrival time.Time }

func (g *gcra) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	const interval, tolerance = time.Second, 9 * time.Second
	arrival := g.arrival
	if arrival.Before(now) {
		arrival = now
	}
	if wait := arrival.Sub(now) - tolerance; wait > 0 {
		return false, wait
	}
	g.arrival = arrival.Add(interval)
	return true, 0
}

// fixedWindow admits most calls in each window; the windows begin at phase.
type fixedWindow struct {
	most   int
	window time.Duration
	phase  time.Duration
	epoch  time.Time
	index  int64
	count  int
}

func (f *fixedWindow) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	if f.epoch.IsZero() {
		f.epoch = now.Add(-f.phase)
	}
	since := now.Sub(f.epoch)
	if index := int64(since / f.window); index != f.index {
		f.index, f.count = index, 0
	}
	if f.count < f.most {
		f.count++
		return true, 0
	}
	return false, time.Duration(f.index+1)*f.window - since
}

// slidingLog admits most calls in any window.
type slidingLog struct {
	most   int
	window time.Duration
	log    []time.Time
}

func (s *slidingLog) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	for len(s.log) > 0 && now.Sub(s.log[0]) >= s.window {
		s.log = s.log[1:]
	}
	if len(s.log) < s.most {
		s.log = append(s.log, now)
		return true, 0
	}
	return false, s.log[0].Add(s.window).Sub(now)
}

// slidingCounter weighs the count of the window before with what of it is still inside the sliding one.
type slidingCounter struct {
	fixedWindow
	before int
}

func (s *slidingCounter) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	if s.epoch.IsZero() {
		s.epoch = now.Add(-s.phase)
	}
	since := now.Sub(s.epoch)
	if index := int64(since / s.window); index != s.index {
		s.before = 0
		if index == s.index+1 {
			s.before = s.count
		}
		s.index, s.count = index, 0
	}
	passed := float64(since%s.window) / float64(s.window)
	if float64(s.count)+float64(s.before)*(1-passed) <= float64(s.most)-1+1e-9 {
		s.count++
		return true, 0
	}
	if s.count >= s.most || s.before == 0 {
		return false, time.Duration(s.index+1)*s.window - since
	}
	free := 1 - float64(s.most-1-s.count)/float64(s.before)
	return false, max(time.Duration((free-passed)*float64(s.window)), time.Millisecond)
}

// leakyQueue holds up to ten calls and answers one a second.
type leakyQueue struct{ next time.Time }

func (l *leakyQueue) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	if l.next.Before(now) {
		l.next = now
	}
	if queued := l.next.Sub(now); queued > 9*time.Second {
		return false, queued - 9*time.Second
	}
	l.next = l.next.Add(time.Second)
	return true, 0
}

func (l *leakyQueue) delay(now time.Time) time.Duration {
	return max(l.next.Add(-time.Second).Sub(now), 0)
}

// wholeTokens refills in whole tokens; forgetful, it loses the rest of the time since.
type wholeTokens struct {
	forgetful bool
	level     float64
	last      time.Time
}

func (w *wholeTokens) admit(now time.Time, _ *rand.Rand) (bool, time.Duration) {
	if w.last.IsZero() {
		w.last, w.level = now, modelBurst
	}
	if whole := math.Floor(now.Sub(w.last).Seconds() * modelRate); whole >= 1 {
		w.level, w.last = min(w.level+whole, modelBurst), w.last.Add(inSeconds(whole))
		if w.forgetful {
			w.last = now
		}
	}
	if w.level >= 1 {
		w.level--
		return true, 0
	}
	return false, w.last.Add(time.Second).Sub(now)
}

// edges are two nodes that count calls each for itself and tell each other every so often. A call comes to either by chance.
type edges struct {
	nodes  [2]tokenBucket
	untold [2]float64
	every  time.Duration
	synced time.Time
}

func newEdges(every time.Duration) *edges {
	e := &edges{every: every}
	for i := range e.nodes {
		e.nodes[i] = *newTokenBucket()
	}
	return e
}

func (e *edges) admit(now time.Time, r *rand.Rand) (bool, time.Duration) {
	for i := range e.nodes {
		e.nodes[i].refill(now)
	}
	if now.Sub(e.synced) >= e.every {
		e.synced = now
		for i := range e.nodes {
			e.nodes[1-i].level -= e.untold[i]
			e.untold[i] = 0
		}
	}
	i := r.IntN(2)
	admitted, wait := e.nodes[i].admit(now, r)
	if admitted {
		e.untold[i]++
	}
	return admitted, wait
}

// halves are two nodes with half of the quota each, which never speak. A call comes to either by chance.
type halves struct{ nodes [2]tokenBucket }

func newHalves() *halves {
	h := &halves{}
	for i := range h.nodes {
		h.nodes[i] = tokenBucket{rate: modelRate / 2, burst: modelBurst / 2, level: modelBurst / 2}
	}
	return h
}

func (h *halves) admit(now time.Time, r *rand.Rand) (bool, time.Duration) {
	return h.nodes[r.IntN(2)].admit(now, r)
}

// concurrent admits most calls at once, of those that a token bucket admits. Its calls take long enough to meet.
type concurrent struct {
	tokenBucket
	most, inFlight int
	took           time.Duration
}

func (c *concurrent) admit(now time.Time, r *rand.Rand) (bool, time.Duration) {
	if c.inFlight >= c.most {
		return false, 0
	}
	admitted, wait := c.tokenBucket.admit(now, r)
	if admitted {
		c.inFlight++
		c.took = inSeconds(0.2 + 0.6*r.Float64())
	}
	return admitted, wait
}

func (c *concurrent) release()                      { c.inFlight-- }
func (c *concurrent) delay(time.Time) time.Duration { return c.took }

// perEndpoint has a limit of its own for an endpoint that takes a fourth of the calls: two at once, one in five seconds.
type perEndpoint struct{ all, one tokenBucket }

func newPerEndpoint() *perEndpoint {
	return &perEndpoint{all: *newTokenBucket(), one: tokenBucket{rate: 0.2, burst: 2, level: 2}}
}

func (p *perEndpoint) admit(now time.Time, r *rand.Rand) (bool, time.Duration) {
	if r.IntN(4) == 0 {
		p.all.refill(now)
		if p.all.level < 1 {
			return p.all.admit(now, r)
		}
		if admitted, wait := p.one.admit(now, r); !admitted {
			return false, wait
		}
	}
	return p.all.admit(now, r)
}

// banning is a token bucket that refuses everything for a minute after three refusals within ten seconds.
type banning struct {
	tokenBucket
	refusals []time.Time
	until    time.Time
}

func (b *banning) admit(now time.Time, r *rand.Rand) (bool, time.Duration) {
	if now.Before(b.until) {
		return false, b.until.Sub(now)
	}
	admitted, wait := b.tokenBucket.admit(now, r)
	if !admitted {
		b.refusals = append(b.refusals, now)
		if n := len(b.refusals); n >= 3 && now.Sub(b.refusals[n-3]) < 10*time.Second {
			b.until = now.Add(time.Minute)
			return false, time.Minute
		}
	}
	return admitted, wait
}

// model is a named upstream.
type model struct {
	name   string
	build  func(r *rand.Rand) upstream
	silent bool    // its 429 carries no Retry-After
	flood  float64 // the least share of the ideal that a flood of 200 must reach; 0: any
	quick  bool    // 95 % of the rate is to be used again 30 s after trouble
	rate   float64 // calls a second, as advertised; 0: modelRate
	burst  float64 // calls at once; 0: modelBurst
}

// bucketOf is a plain token bucket of another size.
func bucketOf(rate, burst float64) model {
	return model{
		name: "token bucket", rate: rate, burst: burst,
		build: func(*rand.Rand) upstream { return &tokenBucket{rate: rate, burst: burst, level: burst} },
	}
}

func models() []model {
	window := func(most int, lasts time.Duration) func(*rand.Rand) upstream {
		return func(r *rand.Rand) upstream {
			return &fixedWindow{most: most, window: lasts, phase: inSeconds(lasts.Seconds() * r.Float64())}
		}
	}
	charging := func(*rand.Rand) upstream { b := newTokenBucket(); b.charge = true; return b }
	sliding := func(*rand.Rand) upstream { return &slidingLog{most: 10, window: 10 * time.Second} }
	two := func(*rand.Rand) upstream { return &concurrent{tokenBucket: *newTokenBucket(), most: 2} }
	short := func(*rand.Rand) upstream { b := newTokenBucket(); b.told = 0.2; return b }
	return []model{
		{name: "token bucket", build: func(*rand.Rand) upstream { return newTokenBucket() }, flood: 0.99, quick: true},
		{name: "GCRA", build: func(*rand.Rand) upstream { return &gcra{} }, flood: 0.99, quick: true},
		{name: "fixed window", build: window(10, 10*time.Second), flood: 0.95, quick: true},
		{name: "sliding window", build: sliding, flood: 0.95, quick: true},
		{name: "whole tokens", build: func(*rand.Rand) upstream { return &wholeTokens{} }, flood: 0.99, quick: true},
		{name: "charges refused calls", build: charging, flood: 0.99, quick: true},
		{name: "Retry-After too short", build: short, flood: 0.99, quick: true},
		{name: "two edges, 1 s late", build: func(*rand.Rand) upstream { return newEdges(time.Second) }, flood: 0.95, quick: true},
		{name: "two edges, 5 s late", build: func(*rand.Rand) upstream { return newEdges(5 * time.Second) }, flood: 0.95, quick: true},
		{name: "two concurrent calls", build: two, silent: true, flood: 0.85},
		{name: "leaky queue", build: func(*rand.Rand) upstream { return &leakyQueue{} }},
		{name: "sliding counter", build: func(r *rand.Rand) upstream {
			return &slidingCounter{fixedWindow: fixedWindow{most: 10, window: 10 * time.Second, phase: inSeconds(10 * r.Float64())}}
		}},
		{name: "whole tokens, forgetful", build: func(*rand.Rand) upstream { return &wholeTokens{forgetful: true} }},
		{name: "two halves", build: func(*rand.Rand) upstream { return newHalves() }},
		{name: "five in 5 s", build: window(5, 5*time.Second)},
		{name: "sixty in 60 s", build: window(60, time.Minute)},
		{name: "one endpoint of its own", build: func(*rand.Rand) upstream { return newPerEndpoint() }},
		{name: "banning", build: func(*rand.Rand) upstream { return &banning{tokenBucket: *newTokenBucket()} }},
	}
}
