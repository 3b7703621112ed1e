package cache

import (
	"net/http"
	"strconv"
	"time"
)

// Entry is a stored answer. It never changes once it is in a Store.
type Entry struct {
	Route    string // by which Invalidate finds it
	Status   int    // 200, or another for which isStorableStatus holds
	Header   http.Header
	Body     []byte
	Received time.Time     // when the response header arrived
	Age      time.Duration // its age at that time (RFC 9111, section 4.2.3)
	Lifetime time.Duration // from Roam's headers; 0 without them
	Strict   bool          // Roam forbids serving it stale (RFC 9111, section 4.2.4)
	OwnTag   bool          // the cache computed its ETag; Roam sent none
	Varies   []string      // header fields that select this variant, besides those in every key
}

// newEntry returns the entry of an answer whose header is storable.
func newEntry(route string, status int, from http.Header, body []byte, sent, received time.Time) *Entry {
	control := parseDirectives(from.Values("Cache-Control"))
	e := &Entry{
		Route: route, Status: status, Header: endToEnd(from), Body: body, Received: received,
		Age: initialAge(from, sent, received), Lifetime: lifetime(from, control, received),
		Strict: control.has("must-revalidate") || control.has("proxy-revalidate") || control.has("s-maxage") || control.has("no-cache"),
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

// endToEnd returns the fields that are forwarded to the tool. Age is computed for each answer.
func endToEnd(from http.Header) http.Header {
	h := make(http.Header, len(from)+3) // up to three fields are added later
	named := ConnectionFields(from)
	for name, values := range from {
		if !named[name] && !IsHopByHop(name) && !neverStored(name) {
			h[name] = values[:len(values):len(values)] // the capacity is cut, so that append copies the shared values
		}
	}
	return h
}

// neverStored reports whether a field must not be stored, besides the hop-by-hop ones (RFC 9111, section 3.1). A cookie is for one
// client, and Age is computed for every response.
func neverStored(name string) bool { return name == "Age" || name == "Set-Cookie" }

// isVaryIndex reports whether this entry holds no answer, only the header fields that the answers of its key vary with.
func (e *Entry) isVaryIndex() bool { return e.Header == nil && e.Varies != nil }

// size returns the bytes of memory that the entry takes, key, header and bookkeeping included.
func (e *Entry) size(key Key) int64 {
	n := 600 + allocated(len(key)) + allocated(cap(e.Body)) // 600: the structures around an entry, measured
	for name, values := range e.Header {
		n += 100 + allocated(len(name)) // 100: a map has up to twice the room that it needs
		for _, v := range values {
			n += 16 + allocated(len(v))
		}
	}
	return int64(n)
}

// allocated returns what the allocator takes for n bytes: its size classes are up to an eighth apart, the small ones 16 bytes.
func allocated(n int) int { return n + n/8 + 8 }

func (e *Entry) answer(result Result, r Rule, now time.Time) *Answer {
	return &Answer{
		Status: e.Status, Header: e.Header, Body: e.Body, Length: int64(len(e.Body)), Result: result, Age: e.age(now), TTL: e.ttl(r, now),
	}
}
