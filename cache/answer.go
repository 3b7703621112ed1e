package cache

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"time"
)

// Answer is what a tool gets. Header and Body are shared with others and must not be changed.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte        // the whole answer, when Stream is nil
	Stream io.ReadCloser // an answer that was not to be kept, to be read once and closed
	Length int64         // of the body; -1 when it is not known

	Result string        // hit, miss, shared, stale or bypass
	Stored bool          // it is kept now
	Age    time.Duration // since Roam made it, of what came from the cache
	TTL    time.Duration // how long it is fresh still; below 0 when stale
	Detail string        // why it is stale: throttled or error

	fwd string // why Roam was asked, in RFC 9211's words
}

// CacheStatus is the field's value (RFC 9211).
func (a *Answer) CacheStatus() string {
	switch a.Result {
	case Hit:
		return fmt.Sprintf("roamproxy; hit; ttl=%d", seconds(a.TTL))
	case Stale:
		return fmt.Sprintf("roamproxy; hit; ttl=%d; detail=%s", seconds(a.TTL), a.Detail)
	case Shared:
		return "roamproxy; fwd=" + a.fwd + "; collapsed"
	}
	if a.Stored {
		return "roamproxy; fwd=" + a.fwd + "; stored"
	}
	return "roamproxy; fwd=" + a.fwd
}

// seconds rounds down, also below zero: an answer is never told to be fresher than it is.
func seconds(d time.Duration) int64 { return int64(math.Floor(d.Seconds())) }

func (a *Answer) close() {
	if a != nil && a.Stream != nil {
		a.Stream.Close()
	}
}
