package cache

import (
	"net/http"
	"strconv"
	"time"
)

// Entry is a kept answer. It is never changed once it is in a Store.
type Entry struct {
	Route    string // by which Drop finds it
	Status   int    // 200, or another that keepsStatus names
	Header   http.Header
	Body     []byte
	Received time.Time     // when its header came
	Age      time.Duration // what it had then (RFC 9111, section 4.2.3)
	Lifetime time.Duration // by Roam's headers; 0 without any
	Strict   bool          // Roam forbids that it is served stale (RFC 9111, section 4.2.4)
	OwnTag   bool          // its ETag is ours
	Varies   []string      // the fields, besides those of every key, whose values choose this form of the answer
}

// newEntry makes an entry of an answer whose header it may keep.
func newEntry(route string, status int, from http.Header, body []byte, sent, received time.Time) *Entry {
	says := parseDirectives(from.Values("Cache-Control"))
	e := &Entry{
		Route: route, Status: status, Header: endToEnd(from), Body: body, Received: received,
		Age: initialAge(from, sent, received), Lifetime: lifetime(from, says, received),
		Strict: says.has("must-revalidate") || says.has("proxy-revalidate") || says.has("s-maxage") || says.has("no-cache"),
	}
	e.Header["Content-Length"] = []string{strconv.Itoa(len(body))}
	if e.Header["Date"] == nil {
		e.Header["Date"] = []string{received.UTC().Format(http.TimeFormat)} // RFC 9110, section 6.6.1
	}
	if e.Header["Etag"] == nil && status == http.StatusOK {
		e.OwnTag, e.Header["Etag"] = true, []string{Tag(body)}
	}
	e.Varies, _ = varyFields(from.Values("Vary"))
	return e
}

// endToEnd are the fields that go on to the tool. The Age is told anew each time.
func endToEnd(from http.Header) http.Header {
	h := make(http.Header, len(from)+3) // three may be added
	named := ConnectionFields(from)
	for name, values := range from {
		if !named[name] && !IsHopByHop(name) && !neverStored(name) {
			h[name] = values[:len(values):len(values)] // who adds another does so for himself
		}
	}
	return h
}

// neverStored reports whether a field must not be stored besides the hop-by-hop ones (RFC 9111, section 3.1): a cookie is for one
// client, and Age is computed for every response.
func neverStored(name string) bool { return name == "Age" || name == "Set-Cookie" }

// isVaryIndex tells whether this is no answer but says with what the answers to the question vary.
func (e *Entry) isVaryIndex() bool { return e.Header == nil && e.Varies != nil }

// size is the memory that the entry takes, key, header and bookkeeping included.
func (e *Entry) size(key Key) int64 {
	n := 600 + allocated(len(key)) + allocated(cap(e.Body)) // the first is of the structures around it, measured
	for name, values := range e.Header {
		n += 100 + allocated(len(name)) // a map has up to twice the room that it needs
		for _, v := range values {
			n += 16 + allocated(len(v))
		}
	}
	return int64(n)
}

// allocated is what the allocator takes for n bytes: its sizes are up to an eighth apart, and the small ones 16.
func allocated(n int) int { return n + n/8 + 8 }

func (e *Entry) answer(result Result, r Rule, now time.Time) *Answer {
	return &Answer{Status: e.Status, Header: e.Header, Body: e.Body, Length: int64(len(e.Body)), Result: result, Age: e.age(now), TTL: e.ttl(r, now)}
}
