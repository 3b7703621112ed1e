package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAHundredEqualRequestsCostOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{takes: time.Second}
		var mu sync.Mutex
		seen := map[string]int{}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				got := ask(t, c, groups(), r)
				mu.Lock()
				seen[got]++
				mu.Unlock()
			})
		}
		all.Wait()
		want := map[string]int{`fwd=uri-miss; stored {"ok":true,"call":1}`: 1, `fwd=uri-miss; collapsed {"ok":true,"call":1}`: 99}
		if r.calls != 1 || !maps.Equal(seen, want) {
			t.Errorf("%d calls, answers %v, want one call and %v", r.calls, seen, want)
		}
	})
}

// Seen to fail with a fill on the context of its first waiter.
func TestAWaiterThatLeavesFailsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := open(t, Options{}), &roam{takes: 10 * time.Second}
		leaves, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Do(leaves, groups(), r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the waiter that leaves: %v, want its own deadline", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if got := ask(t, c, groups(), r); !strings.Contains(got, "collapsed") {
				t.Errorf("the waiter that stays: %s, want the shared answer", got)
			}
		})
		all.Wait()
		if r.calls != 1 {
			t.Errorf("%d calls, want 1", r.calls)
		}
	})
}

// Seen to fail with a fill that continues when all its waiters have left.
func TestAFillWithoutWaitersIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Options{})
		ended := make(chan error, 1)
		stuck := func(ctx context.Context, _ Call) (*http.Response, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		c.Do(ctx, groups(), fillFunc(stuck))
		<-ended
		if got := time.Since(start); got != time.Second {
			t.Errorf("canceled after %v, want 1s", got)
		}
		if got := ask(t, c, groups(), &roam{}); !strings.Contains(got, "stored") {
			t.Errorf("the next fill: %s, want it stored", got)
		}
	})
}

// Seen to fail with a fill that never ends.
func TestAFailedFillDoesNotBlockItsKey(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill fillFunc
		want string
	}{
		{"a panic", func(context.Context, Call) (*http.Response, error) { panic("oh") }, "panicked with a string at sharing_test.go:"},
		{"a stall", func(ctx context.Context, _ Call) (*http.Response, error) { <-ctx.Done(); return nil, ctx.Err() }, "deadline"},
		{"a failure", func(context.Context, Call) (*http.Response, error) { return nil, errors.New("refused") }, "refused"},
		{"a broken body", func(context.Context, Call) (*http.Response, error) {
			res := response(200, "x")
			res.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), broken{}))
			return res, nil
		}, "is incomplete"},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{FillTimeout: 5 * time.Second})
			if _, err := c.Do(t.Context(), groups(), tt.fill); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the failed fill: %v, want %q", err, tt.want)
			}
			if got := ask(t, c, groups(), &roam{}); !strings.Contains(got, "stored") {
				t.Errorf("the next fill: %s, want it stored", got)
			}
			if len(c.fills) != 0 || len(c.fetches) != 0 {
				t.Errorf("%d fills and %d fetches are left, want none", len(c.fills), len(c.fetches))
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

var (
	errQuota = errors.New("paused")
	errAway  = errors.New("away")
)

// Seen to fail with one stream for all, and with one that is never closed.
func TestALargeAnswerIsStreamedToEachWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wide := strings.Repeat("x", 5000)
		closed := 0
		var mu sync.Mutex
		r := &roam{takes: time.Second, answer: func(int) (*http.Response, error) {
			res := response(200, wide)
			res.Body = closing{strings.NewReader(wide), func() { mu.Lock(); closed++; mu.Unlock() }}
			return res, nil
		}}
		c := open(t, Options{MaxBody: 1000})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if got := ask(t, c, groups(), r); !strings.HasSuffix(got, " "+wide) || strings.Contains(got, "stored") {
					t.Errorf("got %.60s… of %d bytes, want the whole body, not stored", got, len(got))
				}
			})
		}
		leaves, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		c.Do(leaves, groups(), r)
		all.Wait()
		synctest.Wait()
		if closed != r.calls || len(c.fetches) != 0 {
			t.Errorf("%d of %d streams are closed, want all", closed, r.calls)
		}
	})
}

type closing struct {
	io.Reader
	close func()
}

func (c closing) Close() error { c.close(); return nil }

func TestAStreamWithoutReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int32
		r := &roam{takes: time.Second, answer: func(int) (*http.Response, error) {
			res := response(200, "")
			res.Body = closing{bytes.NewReader(make([]byte, 5000)), func() { closed.Add(1) }}
			return res, nil
		}}
		c := open(t, Options{MaxBody: 1000})
		leaves, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() { c.Do(leaves, groups(), r) })
		synctest.Wait()
		all.Go(func() { ask(t, c, groups(), r) })
		all.Wait()
		if got := closed.Load(); got != 2 {
			t.Errorf("%d streams closed, want both", got)
		}
	})
}

// Seen to fail with the refusal of the first waiter given to all.
func TestTheLongestWaitOfTheFirstWaiterIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Options{Throttled: func(err error) bool { return err == errQuota }})
		r := &roam{takes: time.Second, answer: func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, errQuota
			}
			return response(200, "{}"), nil
		}}
		var all sync.WaitGroup
		all.Go(func() {
			if got := ask(t, c, groups(), r); got != "paused" {
				t.Errorf("the first: %s, want paused", got)
			}
		})
		synctest.Wait()
		for range 5 {
			all.Go(func() {
				if got := ask(t, c, groups(), r); !strings.HasSuffix(got, "{}") {
					t.Errorf("another: %s, want an answer", got)
				}
			})
		}
		all.Wait()
		if r.calls != 2 {
			t.Errorf("%d calls, want 2", r.calls)
		}
	})
}
