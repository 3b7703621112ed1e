package cache

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Answer is what a tool gets. Header holds only the forwarded fields, without Age. Header and Body are shared with other requests
// and must not be changed.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte        // the complete body, when Stream is nil
	Stream io.ReadCloser // the body of an answer that is not stored; to be read once and closed
	Length int64         // bytes of the body; -1 when unknown

	Result Result
	Stored bool          // it was put into the store
	Age    time.Duration // time since Roam created it
	TTL    time.Duration // how long it remains fresh; below 0 when stale
	Detail Detail        // why it is stale; "" otherwise, and where the tool accepts stale answers

	fwd         forward // why there was an upstream call
	revalidated bool    // Roam answered 304
}

// forward is the reason of an upstream call, in the words of RFC 9211, section 2.2.
type forward string

const (
	fwdBypass  forward = "bypass"   // the cache is not used for this request
	fwdMiss    forward = "uri-miss" // there is no entry
	fwdStale   forward = "stale"    // there is an entry, and it is not fresh
	fwdRequest forward = "request"  // the tool's Cache-Control asks for a new answer
)

// CacheStatus returns the value of the Cache-Status header (RFC 9211).
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

// bypass marks an answer of a route whose answers are not stored. A shared answer stays shared.
func (a *Answer) bypass() {
	a.fwd = fwdBypass
	if a.Result == Miss {
		a.Result = Bypass
	}
}

// seconds rounds down, also below zero: an answer never looks fresher than it is.
func seconds(d time.Duration) int64 { return int64(math.Floor(d.Seconds())) }

func (a *Answer) close() {
	if a != nil && a.Stream != nil {
		a.Stream.Close()
	}
}
