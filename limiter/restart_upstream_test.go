package limiter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/quotafile"
	"roamproxy/limiter/statefile"
	"roamproxy/limiter/transport"
)

// service is a limiter that is restarted, reloaded, and held by hand, alone on a plain token bucket.
type service struct {
	t   *testing.T
	lab *lab
	dir *statefile.Dir

	mu        sync.Mutex // guards the following
	bucket    *limiter.Local
	queue     *limiter.Queue
	transport *transport.RoundTripper
}

func (s *service) options(adapt bool) limiter.Options {
	return limiter.Options{Bucket: s.bucket, Adapt: adapt, MaxWait: time.Hour}
}

// starts begins a process with what the one before it left behind.
func (s *service) starts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.bucket, err = limiter.NewLocal(s.lab.rate, s.lab.burst, jitter(s.lab.rate)); err != nil {
		s.t.Fatal(err)
	}
	state := quotafile.Open(s.dir, "roam")
	kept, err := state.Restore(s.bucket)
	if err != nil {
		s.t.Fatal(err)
	}
	o := s.options(true)
	o.Keeper, o.Learned, o.Paused = state, kept.Learned, kept.Paused
	s.queue = limiter.New(o)
	s.transport = &transport.RoundTripper{Next: s.lab, Queue: s.queue, Bodies: transport.NewBodies(0, "")}
}

// call sends one call, again with the next process where one ends.
func (s *service) call(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		rt := s.transport
		s.mu.Unlock()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://roam.example/v1/test", nil)
		if res, err := rt.RoundTrip(req); err == nil {
			return res.Body.Close()
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

// Whatever is done to it, alone on its quota roamproxy is never refused, and while calls are queued it uses 99 % of the rate.
func TestAloneNothingIsRefused(t *testing.T) {
	for _, seed := range seeds(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir, err := statefile.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				s := &service{t: t, lab: newLab(models()[0], tenAlways, seed), dir: dir}
				s.lab.slow(50 * time.Millisecond)
				s.starts()
				leave := keepAsking(t, s.call)
				random, start := rand.New(rand.NewPCG(seed, 4)), time.Now()
				var lost time.Duration
				for range 60 {
					time.Sleep(time.Duration(random.Int64N(int64(40 * time.Second))))
					switch random.IntN(5) {
					case 0:
						s.queue.Close()
						away := time.Duration(random.Int64N(int64(5 * time.Second)))
						time.Sleep(away)
						s.starts()
					case 1:
						held := time.Duration(random.Int64N(int64(20 * time.Second)))
						s.queue.Pause(held)
						lost += max(held-9*time.Second, 0) // what does not fit into the bucket
						if time.Sleep(held / 2); random.IntN(2) == 0 {
							s.queue.Resume()
						}
						time.Sleep(held / 2)
					case 2:
						s.queue.Reconfigure(s.options(random.IntN(2) == 0))
					case 3:
						s.queue.Forget()
					case 4:
						leave()
						time.Sleep(time.Duration(random.Int64N(int64(9 * time.Second)))) // nobody asks for a while
						leave = keepAsking(t, s.call)
					}
				}
				took := time.Since(start) - lost
				leave()
				s.queue.Close()
				sent := float64(len(s.lab.admitted))
				t.Logf("%.0f calls in %.0f s, %d refused", sent, took.Seconds(), len(s.lab.refused))
				if n := len(s.lab.refused); n > 0 {
					t.Errorf("%d calls were refused, want none", n)
				}
				if share := sent / took.Seconds() / s.lab.rate; share < 0.99 {
					t.Errorf("%.3f of the rate was used, want 0.99", share)
				}
			})
		})
	}
}

// A restart in the middle of trouble, or right after it, does not make the recovery longer.
func TestRecoveryOverARestart(t *testing.T) {
	for _, m := range models() {
		if !m.quick {
			continue
		}
		for _, header := range []retryAfter{trueWait, tenAlways} {
			t.Run(fmt.Sprintf("%s, %s", m.name, header), func(t *testing.T) {
				dir, err := statefile.Open(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				s := &service{t: t, dir: dir}
				restart := func() { s.queue.Close(); time.Sleep(time.Second); s.starts() }
				c := client{"restarted", func(_ *testing.T, lab *lab) (func(context.Context) error, func()) {
					s.lab = lab
					s.starts()
					return s.call, func() { s.queue.Close() }
				}}
				r := recovers(t, c, m, header, 1, func(lab *lab) {
					lab.trouble(15 * time.Second)
					restart()
					lab.trouble(15 * time.Second)
					restart()
				})
				if t.Logf("%+v", r); r.minutes < 0.95 || r.minute < 0.95 {
					t.Errorf("30 s after the trouble %.2f of the rate were used in a minute and %.2f in five, want 0.95", r.minute, r.minutes)
				}
			})
		}
	}
}
