package limiter_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// client is a way to call an upstream: the limiter under test or a yardstick.
type client struct {
	name  string
	start func(t *testing.T, l *lab) (call func(context.Context) error, stop func())
}

// jitter is held back from the burst: at a call a second the default.
func jitter(rate float64) time.Duration { return inSeconds(0.2 / rate) }

// tested are the limiter under test and, where the table is printed, what it is compared with.
func tested() []client {
	if testing.Verbose() {
		return []client{limited(true), limited(false), pacer()}
	}
	return []client{limited(true)}
}

const adaptOn = "adapt on"

// limited is the limiter under test.
func limited(adapt bool) client {
	name := adaptOn
	if !adapt {
		name = "adapt off"
	}
	return client{name, func(t *testing.T, l *lab) (func(context.Context) error, func()) {
		bucket, err := limiter.NewLocal(l.rate, l.burst, jitter(l.rate))
		if err != nil {
			t.Fatal(err)
		}
		queue := limiter.New(limiter.Options{Bucket: bucket, Adapt: adapt, MaxWait: time.Hour})
		rt := &transport.RoundTripper{Next: l, Queue: queue, Bodies: transport.NewBodies(0, "")}
		return func(ctx context.Context) error {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://roam.example/v1/test", nil)
			res, err := rt.RoundTrip(req)
			if err != nil {
				return err
			}
			return res.Body.Close()
		}, func() { queue.Close() }
	}}
}

// pacer is the yardstick: one call a second, first come first served, and nothing during a Retry-After.
func pacer() client {
	return client{"pacer", func(_ *testing.T, l *lab) (func(context.Context) error, func()) {
		p := &pace{next: time.Now(), turn: make(chan struct{}, 1)}
		p.turn <- struct{}{}
		return func(ctx context.Context) error {
			for {
				if err := p.wait(ctx); err != nil {
					return err
				}
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://roam.example/v1/test", nil)
				res, _ := l.RoundTrip(req)
				if res.StatusCode == http.StatusOK {
					return nil
				}
				p.stop(res.Header.Get("Retry-After"))
			}
		}, func() {}
	}}
}

// pace lets one call go a second. Its waiters take turns at the channel.
type pace struct {
	turn chan struct{}
	mu   sync.Mutex // guards next
	next time.Time
}

func (p *pace) wait(ctx context.Context) error {
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		p.mu.Lock()
		wait := time.Until(p.next)
		if wait <= 0 {
			p.next = time.Now().Add(time.Second)
		}
		p.mu.Unlock()
		if wait <= 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		sleep(ctx, wait)
	}
}

func (p *pace) stop(header string) {
	pause, err := strconv.Atoi(header)
	if err != nil {
		pause = 10
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(time.Duration(pause) * time.Second); until.After(p.next) {
		p.next = until
	}
}

// keepAsking has 20 callers call again and again. What it returns ends them, and must be called.
func keepAsking(t *testing.T, call func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := call(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("a call that may wait for an hour: %v", err)
					return
				}
			}
		})
	}
	return func() { cancel(); callers.Wait() }
}
