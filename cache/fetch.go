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

// fetchResult is an answer, and whose it is.
type fetchResult struct {
	*Answer
	personal bool     // of the one request alone
	varies   []string // of those alone who sent the same in these fields
}

// errUnexpected304 says that Roam answered a condition that it was not asked.
var errUnexpected304 = errors.New("a 304 that answers no condition")

// fetch asks Roam, reads the answer, and keeps it if it may be kept.
func (c *Cache) fetch(ctx context.Context, q lookup, fill Fill, call Call) (got *fetchResult, err error) {
	under := c.beginFetch(q.Route)
	var e *Entry
	defer func() {
		stored := c.endFetch(under, q.Lookup, e)
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
			got.fwd, got.revalidated = "stale", true
			return got, nil
		}
		call.Conditions = nil // it is about something else: what is kept is worth nothing any more
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
		got = &fetchResult{Answer: &Answer{Status: res.StatusCode, Header: endToEnd(res.Header), Length: res.ContentLength, Result: Miss, fwd: "uri-miss", Stream: res.Body}}
		return got, nil
	}
	foreign := mustNotStore(res)
	body, whole, err := c.readBody(res)
	if err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("cache: Roam's answer to %s broke off: %w", q.Route, err)
	}
	got = &fetchResult{Answer: &Answer{Status: res.StatusCode, Header: endToEnd(res.Header), Length: res.ContentLength, Age: ageOf(res.Header), Result: Miss, fwd: "uri-miss"}}
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
	if kept := newEntry(q.Route, res.StatusCode, res.Header, body, sent, received); !foreign && isStorable(res, q.Rule, kept, c.o.MaxBody) {
		e = kept
		got.Header, got.Age, got.TTL = kept.Header, kept.Age, kept.ttl(q.Rule, received)
	}
	return got, nil
}

// isStream reports whether an answer is handed on as it comes, because it may have no end or because nothing is gained by reading it
// whole: of a route of which nothing is kept only JSON is shared.
func isStream(h http.Header, r Rule) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/event-stream" || !r.Stores() && !strings.HasSuffix(kind, "json")
}

// DoNotStore has an answer belong to no key: the secret was replaced while the call waited, so that Roam gave the answer to
// another one than the key is of. It goes to whoever waits for it, and is not kept.
func DoNotStore(res *http.Response) { res.Body = unstorableBody{res.Body} }

type unstorableBody struct{ io.ReadCloser }

func mustNotStore(res *http.Response) bool {
	_, is := res.Body.(unstorableBody)
	return is
}

// send asks, and tells when the last of the request went out: the time in the line does not make an answer older.
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

// readBody reads an answer as long as it can be kept. The bytes take no more memory than they need.
func (c *Cache) readBody(res *http.Response) (body []byte, whole bool, err error) {
	size := int64(bytes.MinRead)
	if res.ContentLength >= 0 {
		size += min(res.ContentLength, c.o.MaxBody) // the buffer wants some room beyond what it reads, or it grows
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
