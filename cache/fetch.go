package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// fetchResult is an answer and which other requests may share it.
type fetchResult struct {
	*Answer
	personal bool     // the answer is for one request alone
	varies   []string // header fields whose values must be equal for another request to share it
}

// errUnexpected304 reports a 304 to a request without conditions.
var errUnexpected304 = errors.New("upstream sent 304 to an unconditional request")

// fetch sends the call, reads the answer, and stores it if that is allowed.
func (c *Cache) fetch(ctx context.Context, q lookup, fill Fill, call Call) (got *fetchResult, err error) {
	active := c.beginFetch(q.Route)
	var e *Entry
	defer func() {
		stored := c.endFetch(active, q.Lookup, e)
		if stored {
			c.putShared(q, e)
		}
		if got != nil {
			got.Stored = stored
		}
	}()
	call.Conditions = q.entry.conditions()
	res, sent, err := send(ctx, fill, call)
	if err == nil && res.StatusCode == http.StatusNotModified && call.Conditions != nil {
		received := time.Now()
		res.Body.Close()
		if confirmed := q.entry.revalidated(res, sent, received); confirmed != nil && !mustNotStore(res) {
			own := isPersonal(res.Header, parseDirectives(res.Header["Cache-Control"]))
			if !own && res.Header["Set-Cookie"] == nil {
				e = confirmed
			}
			got = &fetchResult{Answer: confirmed.answer(Miss, q.Rule, received), personal: own, varies: confirmed.Varies}
			got.fwd, got.revalidated = fwdStale, true
			return got, nil
		}
		call.Conditions = nil // the 304 is about another representation: the entry is of no use
		res, sent, err = send(ctx, fill, call)
	}
	if err != nil {
		return nil, err
	}
	received := time.Now()
	if res.StatusCode == http.StatusNotModified {
		res.Body.Close()
		return nil, fmt.Errorf("cache: Roam's answer to %s: %w", q.Route, errUnexpected304)
	}
	if isStream(res.Header, q.Rule) {
		return &fetchResult{Answer: &Answer{
			Status: res.StatusCode, Header: endToEnd(res.Header), Stream: res.Body, Length: res.ContentLength, Result: Miss, fwd: fwdMiss,
		}}, nil
	}
	noStore := mustNotStore(res)
	body, whole, err := c.readBody(res)
	if err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("cache: Roam's answer to %s is incomplete: %w", q.Route, err)
	}
	got = &fetchResult{Answer: &Answer{
		Status: res.StatusCode, Header: endToEnd(res.Header), Length: res.ContentLength, Age: ageOf(res.Header), Result: Miss, fwd: fwdMiss,
	}}
	if !whole {
		got.Stream = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
		return got, nil
	}
	res.Body.Close()
	got.Body, got.Length = body, int64(len(body))
	if !isStorableStatus(res.StatusCode, q.Rule) {
		return got, nil
	}
	got.personal = isPersonal(res.Header, parseDirectives(res.Header["Cache-Control"]))
	got.varies, _ = varyFields(res.Header["Vary"])
	if fresh := newEntry(q.Route, res.StatusCode, res.Header, body, sent, received); !noStore && isStorable(res, q.Rule, fresh, c.o.MaxBody) {
		e = fresh
		got.Header, got.Age, got.TTL = fresh.Header, fresh.Age, fresh.ttl(q.Rule, received)
	}
	return got, nil
}

// isStream reports whether an answer is passed through while it arrives: it may have no end, or there is no gain in reading it whole.
// Of a route whose answers are not stored only JSON is shared.
func isStream(h http.Header, r Rule) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/event-stream" || !r.Stores() && !strings.HasSuffix(kind, "json")
}

// DoNotStore marks a response that belongs to no key. The secret was replaced while the call waited, so the answer is of another
// credential than the key. The waiters get it, and it is not stored.
func DoNotStore(res *http.Response) { res.Body = unstorableBody{res.Body} }

type unstorableBody struct{ io.ReadCloser }

func mustNotStore(res *http.Response) bool {
	_, is := res.Body.(unstorableBody)
	return is
}

// send sends the call and returns when the last byte of the request was written: the time in the queue adds nothing to the age.
func send(ctx context.Context, fill Fill, call Call) (res *http.Response, sent time.Time, err error) {
	var wrote atomic.Pointer[time.Time]
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		now := time.Now()
		wrote.Store(&now)
	}})
	res, err = fill.Fetch(ctx, call)
	if at := wrote.Load(); at != nil {
		return res, *at, err
	}
	return res, time.Now(), err
}

// readBody reads an answer of at most MaxBody bytes, and returns them in a slice without much spare capacity.
func (c *Cache) readBody(res *http.Response) (body []byte, whole bool, err error) {
	size := int64(bytes.MinRead)
	if res.ContentLength >= 0 {
		size += min(res.ContentLength, c.o.MaxBody) // the buffer needs spare room for its last read, or it grows
	}
	buffer := bytes.NewBuffer(make([]byte, 0, size))
	if _, err = io.CopyN(buffer, res.Body, c.o.MaxBody+1); err == nil {
		return buffer.Bytes(), false, nil
	}
	if body = buffer.Bytes(); err != io.EOF {
		return nil, false, err
	}
	if res.ContentLength > int64(len(body)) {
		return nil, false, io.ErrUnexpectedEOF
	}
	if cap(body) > len(body)+len(body)/8 {
		body = bytes.Clone(body)
	}
	return body, true, nil
}
