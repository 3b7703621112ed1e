package cache

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Answer is what a tool gets. Header has only what goes on to the tool, without the Age. It and Body are shared with others and
// must not be changed.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte        // the whole answer, when Stream is nil
	Stream io.ReadCloser // an answer that was not to be kept, to be read once and closed
	Length int64         // of the body; -1 when it is not known

	Result Result
	Stored bool          // it is kept now
	Age    time.Duration // since Roam made it
	TTL    time.Duration // how long it is fresh still; below 0 when stale
	Detail string        // why it is stale: throttled, error or revalidating

	fwd         string // why Roam was asked, in RFC 9211's words
	revalidated bool   // Roam said 304
}

// CacheStatus is the field's value (RFC 9211).
func (a *Answer) CacheStatus() string {
	b := make([]byte, 0, 64)
	switch a.Result {
	case Hit, Stale:
		b = strconv.AppendInt(append(b, "roamproxy; hit; ttl="...), seconds(a.TTL), 10)
		if a.Detail != "" {
			b = append(append(b, "; detail="...), a.Detail...)
		}
		return string(b)
	}
	b = append(append(b, "roamproxy; fwd="...), a.fwd...)
	if a.revalidated {
		b = append(b, "; fwd-status=304"...)
	}
	switch {
	case a.Result == Shared:
		b = append(b, "; collapsed"...)
	case a.Stored:
		b = append(b, "; stored"...)
	}
	return string(b)
}

// bypass marks an answer of a route of which nothing is kept. One that was shared stays so.
func (a *Answer) bypass() {
	a.fwd = "bypass"
	if a.Result == Miss {
		a.Result = Bypass
	}
}

// seconds rounds down, also below zero: an answer is never told to be fresher than it is.
func seconds(d time.Duration) int64 { return int64(math.Floor(d.Seconds())) }

func (a *Answer) close() {
	if a != nil && a.Stream != nil {
		a.Stream.Close()
	}
}
