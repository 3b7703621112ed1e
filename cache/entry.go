package cache

import (
	"net/http"
	"strconv"
	"time"
)

// Entry is a kept answer. It is never changed once it is in a Store.
type Entry struct {
	Route    string // by which Drop finds it
	Header   http.Header
	Body     []byte
	Received time.Time     // when its header came
	Age      time.Duration // what it had then (RFC 9111, section 4.2.3)
	Lifetime time.Duration // by Roam's headers; 0 without any
	Strict   bool          // must-revalidate or proxy-revalidate: never served stale
}

func newEntry(route string, res *http.Response, body []byte, received time.Time) *Entry {
	says := parseDirectives(res.Header.Values("Cache-Control"))
	header := res.Header.Clone()
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Age", "Proxy-Connection", "Proxy-Authenticate"} {
		header.Del(name) // of that one connection (RFC 9111, section 3.1), or told anew
	}
	e := &Entry{Route: route, Header: header, Body: body, Received: received, Strict: says.has("must-revalidate") || says.has("proxy-revalidate") || says.has("s-maxage")}
	if n, err := strconv.ParseInt(res.Header.Get("Age"), 10, 32); err == nil && n > 0 {
		e.Age = time.Duration(n) * time.Second
	}
	e.Lifetime = lifetime(res.Header, says)
	return e
}

// size is the memory that the entry takes, header and bookkeeping included.
func (e *Entry) size(key Key) int64 {
	n := len(key) + cap(e.Body) + 400 // of the structures around it, measured with 10,000 entries of three header fields
	for name, values := range e.Header {
		n += len(name) + 64
		for _, v := range values {
			n += len(v) + 16
		}
	}
	return int64(n)
}

func (e *Entry) age(now time.Time) time.Duration { return e.Age + max(now.Sub(e.Received), 0) }

func (e *Entry) ttl(r Rule, now time.Time) time.Duration {
	if r.Origin {
		return e.Lifetime - e.age(now)
	}
	return r.TTL - e.age(now)
}

// fresh heeds what the request wants (RFC 9111, section 5.2.1).
func (e *Entry) fresh(r Rule, wants directives, now time.Time) bool {
	ttl := e.ttl(r, now)
	if most, ok := wants.seconds("max-age"); ok && e.age(now) > most {
		return false
	}
	if least, ok := wants.seconds("min-fresh"); ok && ttl < least {
		return false
	}
	return ttl > 0
}

// servable tells whether the entry may stand in although it is no longer fresh.
func (e *Entry) servable(r Rule, now time.Time) bool {
	return !e.Strict && e.ttl(r, now) > -r.Stale
}

func (e *Entry) answer(result string, r Rule, now time.Time) *Answer {
	return &Answer{Status: http.StatusOK, Header: e.Header, Body: e.Body, Length: int64(len(e.Body)), Result: result, Age: e.age(now), TTL: e.ttl(r, now)}
}
