package redisquota

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/limiter"
	"roamproxy/proxy/roamtest/redistest"
)

// located is a Redis, or a Sentinel that has its address.
type located interface{ URL() string }

// wire is one replica's way to Redis, which can be cut.
type wire struct {
	redis located

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *wire) connect() (rueidis.Client, error) {
	o, err := rueidis.ParseURL(w.redis.URL())
	if err != nil {
		return nil, err
	}
	o.DisableCache, o.DisableRetry, o.Dialer.Timeout, o.Sentinel.TopologyRefreshInterval = true, true, time.Second, time.Second
	o.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut {
			return nil, errors.New("cut")
		}
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			w.conns = append(w.conns, c)
		}
		return c, err
	}
	return rueidis.NewClient(o)
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// kept is what Redis knows of the quota at this moment, and restores is what it knows after a restart: a failover to a copy that
// was behind.
func (s *stage) kept() string {
	c := s.members[0].session.client
	dump, err := c.Do(context.Background(), c.B().Dump().Key(s.members[0].bucket.key).Build()).ToString()
	if err != nil {
		s.t.Fatal(err)
	}
	return dump
}

func (s *stage) restores(dump string) {
	c, err := dialer(s.redis)()
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	command := c.B().Restore().Key(s.members[0].bucket.key).Ttl(0).SerializedValue(dump).Build()
	if err := c.Do(context.Background(), command).Error(); err != nil {
		s.t.Fatal(err)
	}
}

// spent is a token, which was taken at some time between two.
type spent struct{ after, before time.Time }

// member is a replica that takes whatever it gets.
type member struct {
	*wire
	session *Session
	bucket  *Bucket
	stop    chan struct{}
	taking  sync.WaitGroup
	idle    atomic.Bool
}

func (m *member) pause()  { m.idle.Store(true) }
func (m *member) resume() { m.idle.Store(false) }

func newMember(t *testing.T, r located, n int, perSecond, burst float64, took func(spent)) *member {
	m := &member{wire: &wire{redis: r}, stop: make(chan struct{})}
	m.session = New(Options{Connect: m.connect, Prefix: "test", Replicas: n})
	m.bucket = share(t, m.session, perSecond, burst)
	m.taking.Go(func() {
		for {
			asked, wait := time.Now(), time.Millisecond
			if !m.idle.Load() {
				wait = m.bucket.Take(asked, limiter.Demand{})
			}
			if wait == 0 {
				took(spent{asked, time.Now()})
			}
			select {
			case <-time.After(min(wait, 20*time.Millisecond)): // a queue gets the news that Redis is lost or back; this loop polls
			case <-m.stop:
				return
			}
		}
	})
	return m
}

// rest is an orderly end.
func (m *member) rest() {
	close(m.stop)
	m.taking.Wait()
	m.session.Close()
}

// die is kill -9, as Redis sees it.
func (m *member) die() {
	close(m.stop)
	m.taking.Wait()
	m.set(true)
	m.session.Close()
}

// stage is a test with replicas, and what they spent in it.
type stage struct {
	t         *testing.T
	redis     *redistest.Redis
	where     located // redis, or the Sentinel in front of it
	perSecond float64
	burst     float64
	members   []*member
	events    []string

	mu     sync.Mutex
	tokens []spent
}

func newStage(t *testing.T, n int, perSecond, burst float64) *stage {
	r := redistest.NewRedis(t)
	return newStageAt(t, r, r, n, perSecond, burst)
}

func newStageAt(t *testing.T, r *redistest.Redis, where located, n int, perSecond, burst float64) *stage {
	s := &stage{t: t, redis: r, where: where, perSecond: perSecond, burst: burst, members: make([]*member, n)}
	for i := range s.members {
		s.comes(i)
	}
	return s
}

func (s *stage) comes(i int) {
	s.members[i] = newMember(s.t, s.where, len(s.members), s.perSecond, s.burst, func(took spent) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tokens = append(s.tokens, took)
	})
}

func (s *stage) together() {
	s.t.Helper()
	for _, m := range s.members {
		joined(s.t, m.session)
	}
}

func (s *stage) spent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens)
}

// ends lets everybody die and judges what was spent.
func (s *stage) ends() {
	s.t.Helper()
	for _, m := range s.members {
		m.die()
	}
	slices.SortFunc(s.tokens, func(a, b spent) int { return a.before.Compare(b.before) })
	over, in := excess(s.tokens, s.perSecond, s.burst)
	if over > float64(len(s.members)) {
		s.t.Errorf("%.1f calls more than the bucket in %v, want at most one for each replica; the events: %q", over, in, s.events)
	}
	s.t.Logf("%d tokens, at most %.1f more than the bucket", len(s.tokens), over)
}

// excess is by how many calls some stretch of time had more than burst + rate × its length, and how long that was. A token is
// counted in a stretch only when it can have been taken at no other time.
func excess(tokens []spent, perSecond, burst float64) (most float64, in time.Duration) {
	for i := range tokens {
		first := tokens[i].after
		for j := i; j < len(tokens); j++ {
			if tokens[j].after.Before(first) {
				first = tokens[j].after
			}
			length := tokens[j].before.Sub(first)
			if over := float64(j-i+1) - burst - perSecond*length.Seconds(); over > most {
				most, in = over, length
			}
		}
	}
	return most, in
}

// Seen to fail with tokens at a rate that is 10 % too high: with a burst of five a replica that asks late for a token misses none.
func TestWhatHappensToRedisSpendsNothing(t *testing.T) {
	for _, story := range []struct {
		name             string
		perSecond, burst float64
		plays            func(*stage)
	}{
		{"one replica is cut off, and the others go on", 90, 5, func(s *stage) {
			s.members[0].set(true)
			time.Sleep(3 * time.Second)
			s.members[0].set(false)
			s.together()
		}},
		{"a full bucket is spent, and Redis comes back empty", 20, 20, func(s *stage) {
			for _, m := range s.members {
				m.pause()
			}
			time.Sleep(1500 * time.Millisecond)
			for _, m := range s.members {
				m.resume()
			}
			time.Sleep(50 * time.Millisecond)
			s.redis.Kill()
			s.redis.Start()
			s.together()
			time.Sleep(300 * time.Millisecond)
		}},
		{"a full bucket is spent, and another Redis knows only of the time before", 20, 20, func(s *stage) {
			for _, m := range s.members {
				m.pause()
			}
			time.Sleep(1500 * time.Millisecond)
			old := s.kept() // of a full bucket
			for _, m := range s.members {
				m.resume()
			}
			time.Sleep(50 * time.Millisecond)
			for _, m := range s.members {
				m.set(true)
			}
			s.redis.Kill()
			s.redis.Start()
			s.restores(old)
			for _, m := range s.members {
				m.set(false)
			}
			s.together()
			time.Sleep(300 * time.Millisecond)
		}},
		{"Redis comes back empty, and one replica finds it late", 90, 5, func(s *stage) {
			s.redis.Kill()
			time.Sleep(1500 * time.Millisecond) // all have begun to earn their share
			s.members[0].set(true)
			s.redis.Start()
			time.Sleep(2 * time.Second)
			s.members[0].set(false)
			s.together()
		}},
		{"Redis hangs, and answers what was asked meanwhile", 90, 5, func(s *stage) {
			s.redis.Hang()
			time.Sleep(3 * time.Second)
			s.redis.Resume()
			s.together()
			time.Sleep(300 * time.Millisecond)
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, 3, story.perSecond, story.burst)
			s.together()
			time.Sleep(200 * time.Millisecond)
			story.plays(s)
			before := s.spent()
			until(t, "going on", func() bool { return s.spent() > before+10 })
			s.ends()
		})
	}
}

// In whatever order Redis dies, hangs and comes back empty, replicas are cut off and come back, die, leave and are replaced:
// all of them together spend no more than the bucket and one call for each.
//
// Seen to fail with tokens at a rate that is 10 % too high.
func TestNoOrderOfEventsSpendsMore(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 9))
			s := newStage(t, 3, 90, 5)
			up, hung := true, false
			for range 8 {
				i := dice.IntN(len(s.members))
				m, event := s.members[i], ""
				switch {
				case !up:
					event, up = "Redis comes back, empty", true
					s.redis.Start()
				case hung:
					event, hung = "Redis answers again", false
					s.redis.Resume()
				default:
					switch dice.IntN(6) {
					case 0:
						event, up = "Redis dies", false
						s.redis.Kill()
					case 1:
						event, hung = "Redis hangs", true
						s.redis.Hang()
					case 2:
						event = fmt.Sprintf("replica %d is cut off", i)
						m.set(true)
					case 3:
						event = "all are connected again"
						for _, m := range s.members {
							m.set(false)
						}
					case 4:
						event = fmt.Sprintf("replica %d is killed, and another comes", i)
						m.die()
						s.comes(i)
					case 5:
						event = fmt.Sprintf("replica %d is restarted in peace", i)
						m.rest()
						s.comes(i)
					}
				}
				s.events = append(s.events, event)
				time.Sleep(time.Duration(100+dice.IntN(1400)) * time.Millisecond)
			}
			if !up {
				s.redis.Start()
			}
			s.redis.Resume()
			for _, m := range s.members {
				m.set(false)
			}
			s.together()
			s.ends()
		})
	}
}
