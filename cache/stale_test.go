package cache

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testQueue is a queue in a state that a test chooses.
type testQueue struct {
	mu           sync.Mutex
	idle, paused bool
	sent         bool // fills have left the queue
	joined       int
}

func (q *testQueue) state() (idle, paused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idle, q.paused
}

func (q *testQueue) join() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.joined++
}

func (q *testQueue) expired() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sent {
		return nil
	}
	return errQuota
}

// impatient is a request with a longest wait of its own.
type impatient struct {
	*roam
	longest time.Duration
}

func (i impatient) MaxWait() time.Duration { return i.longest }

func throttled(t *testing.T) *Cache {
	return open(t, Options{Throttled: func(err error) bool { return err == errQuota }})
}

func TestStaleAnswersAreServedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		queue  *testQueue
		after  time.Duration
		header string
		want   string
		takes  time.Duration // how long the tool waits
		calls  int           // in all
	}{
		{"while the queue is paused", &testQueue{paused: true}, 9 * time.Minute, "", `hit; ttl=-509; detail=throttled {"ok":true,"call":1}`, 0,
			1},
		{"while the queue is idle", &testQueue{idle: true}, 45 * time.Second, "", `hit; ttl=-14; detail=revalidating {"ok":true,"call":1}`, 0, 2},
		{"but not long after it expired", &testQueue{idle: true}, 61 * time.Second, "", `fwd=stale; stored {"ok":true,"call":2}`, time.Second, 2},
		{"and not while other calls wait for the token", &testQueue{}, 45 * time.Second, "", `fwd=stale; stored {"ok":true,"call":2}`,
			time.Second, 2},
		{"and not with max-age", &testQueue{idle: true, paused: true}, 45 * time.Second, "max-age=40", `fwd=stale; stored {"ok":true,"call":2}`,
			time.Second, 2},
		{"or with no-cache", &testQueue{idle: true, paused: true}, 45 * time.Second, "no-cache", `fwd=request; stored {"ok":true,"call":2}`,
			time.Second, 2},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c, r := throttled(t), &roam{takes: time.Second, queue: tt.queue}
			ask(t, c, groups(), r)
			time.Sleep(tt.after - time.Second)
			start := time.Now()
			got := ask(t, c, groups("Cache-Control", tt.header), r)
			if took := time.Since(start); got != tt.want || took != tt.takes {
				t.Errorf("%s after %v, want %s after %v", got, took, tt.want, tt.takes)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if r.calls != tt.calls {
				t.Errorf("%d calls, want %d", r.calls, tt.calls)
			}
		})
	}
}

// Any number of requests cause one refresh, and only while the queue is idle. Without a request none is sent.
func TestABackgroundRefreshIsSentOnceAndOnlyWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := throttled(t), &roam{queue: &testQueue{idle: true}}
		ask(t, c, groups(), r)
		r.takes = 2 * time.Second
		time.Sleep(40 * time.Second)
		for range 50 {
			if got := ask(t, c, groups(), r); got != `hit; ttl=-10; detail=revalidating {"ok":true,"call":1}` {
				t.Fatalf("while the refresh runs: %s, want the stale answer", got)
			}
		}
		time.Sleep(3 * time.Second)
		if got := ask(t, c, groups(), r); got != `hit; ttl=29 {"ok":true,"call":2}` && got != `hit; ttl=28 {"ok":true,"call":2}` &&
			got != `hit; ttl=27 {"ok":true,"call":2}` {
			t.Errorf("after it: %s, want a hit of the second call", got)
		}
		if r.calls != 2 || r.asked[0].Background || !r.asked[1].Background {
			t.Errorf("asked %+v, want one call for the tool and one in the background", r.asked)
		}
		time.Sleep(time.Hour)
		if r.calls != 2 {
			t.Errorf("%d calls without a reader, want none", r.calls-2)
		}
	})
}

func TestCloseCancelsRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := &roam{queue: &testQueue{idle: true}}
		ask(t, c, groups(), r)
		r.takes = time.Minute
		time.Sleep(40 * time.Second)
		ask(t, c, groups(), r)
		synctest.Wait()
		start := time.Now()
		c.Close()
		if took := time.Since(start); r.calls != 2 || took != 0 || len(c.fills) != 0 {
			t.Errorf("closing took %v, and %d fills are left of %d calls; want no time, none and 2", took, len(c.fills), r.calls)
		}
	})
}

// Seen to fail with a failure that removes the entry, with a failed fill that never ends, and with a panic that is not
// recovered.
func TestARefreshThatFailsChangesNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(int) (*http.Response, error)
	}{
		{"there was no token after all", func(int) (*http.Response, error) { return nil, errQuota }},
		{"Roam failed", status(500)},
		{"Roam answered 404", status(404)},
		{"a panic", func(int) (*http.Response, error) { panic("oh") }},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c, r := throttled(t), &roam{queue: &testQueue{idle: true}}
			ask(t, c, groups(), r)
			time.Sleep(40 * time.Second)
			r.answer = tt.answer
			for range 2 {
				if got := ask(t, c, groups(), r); !strings.HasPrefix(got, "hit; ttl=-10; detail=revalidating") {
					t.Errorf("%s, want the stale answer", got)
				}
				synctest.Wait()
			}
			if r.calls != 3 || len(c.fills) != 0 || len(c.fetches) != 0 {
				t.Errorf("%d calls, and %d fills are left; want 3, and none", r.calls, len(c.fills))
			}
		})
	}
}

// A refresh that runs during a write must not store the answer from before the write.
func TestARefreshThatAWriteInvalidatedIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := throttled(t), &roam{takes: time.Second, queue: &testQueue{idle: true}}
		ask(t, c, groups(), r)
		time.Sleep(40 * time.Second)
		ask(t, c, groups(), r)
		synctest.Wait()
		c.Invalidate(func(string) bool { return true })
		time.Sleep(2 * time.Second)
		if got := ask(t, c, groups(), r); got != `fwd=uri-miss; stored {"ok":true,"call":3}` {
			t.Errorf("after the write: %s, want the third call's answer", got)
		}
	})
}

// A waiter leaves at the end of its own longest wait if the call is still queued, and fails no other waiter.
func TestEachWaiterHasItsOwnLongestWait(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sent  bool
		after time.Duration // when waiters with a short longest wait have an answer
		want  string
	}{
		{"a fill in the queue", false, 3 * time.Second, "paused"},
		{"a fill that has left it", true, 10 * time.Second, `{"ok":true,"call":1}`},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			l := &testQueue{sent: tt.sent}
			c, r := throttled(t), &roam{takes: 10 * time.Second, queue: l}
			start := time.Now()
			var all sync.WaitGroup
			for i := range 4 {
				short := i%2 == 0 // the first one too
				all.Go(func() {
					by := Requester(r)
					if short {
						by = impatient{r, 3 * time.Second}
					}
					a, err := c.Do(t.Context(), groups(), by)
					got, took := "", time.Since(start)
					if err != nil {
						got = err.Error()
					} else {
						got = string(a.Body)
					}
					want, after := `{"ok":true,"call":1}`, 10*time.Second
					if short {
						want, after = tt.want, tt.after
					}
					if got != want || took != after {
						t.Errorf("with a short longest wait = %v: %s after %v, want %s after %v", short, got, took, want, after)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			if r.calls != 1 || l.joined != 3 {
				t.Errorf("%d calls, %d joined; want 1 and 3", r.calls, l.joined)
			}
		})
	}
}
