// Package cachetest has an upstream for the tests of the cache, and of a tier that replicas share.
package cachetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"roamproxy/cache"
)

// Upstream is a tool's request and its calls to Roam in one. In roamproxy, package proxy implements both. Its queue is always idle, and
// its longest wait has no bound. It may be used by many goroutines, once its fields are set.
type Upstream struct {
	Takes  time.Duration                // until a call is answered
	Answer func(call int) (body string) // of the call with this number, from 1; nil: {"ok":true,"call":1} and so on

	mu    sync.Mutex // guards calls
	calls int
}

// Calls returns how many calls were made.
func (u *Upstream) Calls() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls
}

// NewFill implements cache.Requester.
func (u *Upstream) NewFill() cache.Fill { return u }

// MaxWait implements cache.Requester.
func (*Upstream) MaxWait() time.Duration { return -1 }

// Queue implements cache.Requester.
func (*Upstream) Queue() (idle, paused bool) { return true, false }

// Join implements cache.Fill.
func (*Upstream) Join(cache.Requester) {}

// Expired implements cache.Fill.
func (*Upstream) Expired(cache.Requester) error { return nil }

// Fetch implements cache.Fill.
func (u *Upstream) Fetch(ctx context.Context, _ cache.Call) (*http.Response, error) {
	u.mu.Lock()
	u.calls++
	n := u.calls
	u.mu.Unlock()
	select {
	case <-time.After(u.Takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	body := fmt.Sprintf(`{"ok":true,"call":%d}`, n)
	if u.Answer != nil {
		body = u.Answer(n)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), ProtoMajor: 1,
	}, nil
}
