package limiter_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// board is what two replicas know together, with 20 ms between an event and its news. Of a pause, the replica that was refused
// sends the probe.
type board struct {
	mu     sync.Mutex // guards the following
	news   limiter.News
	until  time.Time
	prober *replica
	all    []*replica
	pool   *pool
}

// replica is the limiter.Sharing of one of them.
type replica struct {
	*board
	follow func(limiter.News)
}

func (r *replica) Part() limiter.Part {
	return limiter.Part{Rate: 1 / float64(len(r.all)), Burst: modelBurst, Replicas: len(r.all)}
}

func (r *replica) Follow(f func(limiter.News)) { r.follow = f }

func (r *replica) Publish(e limiter.Event) {
	r.pool.publish(e)
	time.AfterFunc(20*time.Millisecond, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch e.Kind {
		case limiter.EventThrottled:
			r.news.State, r.until, r.prober = limiter.PauseShut, e.Until, r
			r.news.Generation++
		case limiter.EventAnswered:
			r.news.State = limiter.PauseOpen
		case limiter.EventLearned:
			if e.Learned.At.Sub(r.news.Learned.At) > time.Second { // one overload is learned once
				r.news.Learned = e.Learned
			}
		}
		for _, other := range r.all {
			n := r.news
			n.Remaining = max(time.Until(r.until), 0)
			if n.State == limiter.PauseShut && other != r.prober {
				n.State = limiter.PauseProbing
			}
			other.follow(n)
		}
	})
}

// pool is the limiter.Bucket of both. It imposes the limits in force on them together, as Redis does, and has the events at once.
type pool struct {
	*limiter.Local
	configured limiter.Limits

	mu      sync.Mutex // guards the following
	learned limiter.AdaptState
}

func (p *pool) Limits() limiter.Limits { return p.configured }

func (p *pool) Take(now time.Time, d limiter.Demand) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	is := p.learned.Limits(now, p.configured)
	p.Reconfigure(is.Rate, is.Burst, 0)
	wait := p.Local.Take(now, d)
	if held := p.learned.Holds(now); held > 0 {
		return min(wait, held)
	}
	return wait
}

func (p *pool) publish(e limiter.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case limiter.EventThrottled:
		p.Restore(time.Now(), 0)
	case limiter.EventLowered:
		p.Restore(time.Now(), min(p.Level(time.Now()), e.Level))
	case limiter.EventLearned:
		if e.Learned.At.Sub(p.learned.At) > time.Second {
			p.learned = e.Learned
		}
	}
}

// twoReplicas share a bucket, and get every other call each.
func twoReplicas() client {
	return client{"two replicas", func(t *testing.T, l *lab) (func(context.Context) error, func()) {
		bucket, err := limiter.NewLocal(l.rate, l.burst, jitter(l.rate))
		if err != nil {
			t.Fatal(err)
		}
		b := &board{news: limiter.News{State: limiter.PauseOpen}}
		b.pool = &pool{Local: bucket, configured: bucket.Limits()}
		b.all = []*replica{{board: b}, {board: b}}
		var transports []*transport.RoundTripper
		for _, r := range b.all {
			q := limiter.New(limiter.Options{Bucket: b.pool, Sharing: r, Adapt: true, MaxWait: time.Hour})
			transports = append(transports, &transport.RoundTripper{Next: l, Queue: q, Bodies: transport.NewBodies(0, "")})
		}
		var calls atomic.Int64
		return func(ctx context.Context) error {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://roam.example/v1/test", nil)
				res, err := transports[calls.Add(1)%2].RoundTrip(req)
				if err != nil {
					return err
				}
				return res.Body.Close()
			}, func() {
				for _, rt := range transports {
					rt.Queue.Close()
				}
			}
	}}
}

// Replicas learn together what another client leaves of their quota, although each sees only some of the calls and refusals. Now and
// then both are refused in the same moment, so it may be a little more than for one process.
func TestReplicasBesideAnotherClient(t *testing.T) {
	for _, header := range []retryAfter{trueWait, tenAlways} {
		for _, tt := range []struct{ share, refused float64 }{{0.25, 0.02}, {0.5, 0.02}, {0.75, 0.025}} {
			t.Run(fmt.Sprintf("%v of the rate, %s", tt.share, header), func(t *testing.T) {
				const hours = 4 // one differs from the next by a tenth, as the two replicas happen to meet
				var refused, used float64
				for range hours {
					u := beside(t, twoReplicas(), models()[0], header, 1, func(ctx context.Context, l *lab) { l.steady(ctx, tt.share) })
					t.Logf("refused %.1f %%, %.1f in the first ten minutes; used %.3f of the rest", 100*u.refused, 100*u.early, u.used)
					refused += u.refused / hours
					used += u.used / hours
				}
				if refused > tt.refused || used < 0.97 {
					t.Errorf("%.1f %% refused and %.3f of the rest used, want at most %.1f and at least 0.97", 100*refused, used, 100*tt.refused)
				}
			})
		}
		t.Run("trouble, "+string(header), func(t *testing.T) {
			r := recovers(t, twoReplicas(), models()[0], header, 1, func(l *lab) { l.trouble(30 * time.Second) })
			if t.Logf("%+v", r); r.minute < 0.95 || r.minutes < 0.95 {
				t.Errorf("30 s after the trouble %.2f of the rate were used in a minute and %.2f in five, want 0.95", r.minute, r.minutes)
			}
		})
	}
}
