package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync/atomic"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter/transport"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/httpbody"
	"roamproxy/proxy/paging"
)

// cached answers a read that may be kept: cache.Do, and from there, on a miss, fill.Fetch.
func (p *Proxy) cached(rq *request) {
	keepShareable(rq.r.Header, rq.Method)
	if part, err := p.page(rq); part != nil || err != nil {
		if err != nil {
			p.fail(rq, err)
			return
		}
		rq.Paged = part.Saved
		p.give(rq, part.Answer)
		return
	}
	body, whole, err := readQuestion(rq.w, rq.r)
	if err != nil {
		p.fail(rq, err)
		return
	}
	if !whole {
		p.passThrough(rq)
		return
	}
	a, err := p.ask(rq, rq.r, body)
	if err != nil {
		p.fail(rq, err)
		return
	}
	p.give(rq, a)
}

// page answers a request from wide pages. It returns nil if wide pages do not apply to the request.
func (p *Proxy) page(rq *request) (*paging.Part, error) {
	if rq.treatment.PageSize <= 0 || !rq.treatment.Stores() || rq.Method != http.MethodGet && rq.Method != http.MethodHead {
		return nil, nil
	}
	return p.pages.Answer(paging.Request{
		HTTP: rq.r, List: rq.upstream.name + " " + rq.Route, PageSize: rq.treatment.PageSize,
		Ask: func(r *http.Request) (*cache.Answer, error) { return p.ask(rq, r, nil) },
	})
}

// ask asks the cache for the answer to r: the tool's request, or one for a wide page that contains its items.
func (p *Proxy) ask(rq *request, r *http.Request, body []byte) (*cache.Answer, error) {
	c := &cachedCall{p: p, by: rq, begun: time.Now(), r: r, body: body, interim: interimWriter{p: p, rq: rq}}
	keys := rq.upstream.credential.Keys()
	c.keys = keys
	a, err := p.o.Cache.Do(r.Context(), cache.Lookup{
		Key: cache.NewKey(keys.Partition, r, body), Route: cacheGroup(rq.Route, r.URL.RawQuery), Rule: rq.treatment.Rule,
		Head: r.Method == http.MethodHead, Shares: true, Request: r.Header, Seal: keys.Seal,
	}, c)
	c.interim.end()
	if call := c.done.Load(); call != nil && !call.Background {
		rq.recordCall(call)
		rq.Queue += time.Duration(c.before.Load())
	} else if call := c.awaited.Load(); call != nil && (err != nil || a.Result == cache.Shared) {
		rq.Queue = call.queuedSince(c.begun) // it is another's, or goes on without this request
	}
	return a, err
}

// cachedCall is a request that asks the cache, and the call to Roam that it makes on a miss.
type cachedCall struct {
	p       *Proxy
	by      *request
	r       *http.Request
	body    []byte
	keys    *credential.Keys // of the secret under which the cache was asked
	interim interimWriter
	done    atomic.Pointer[upstreamCall] // call of its own fill, once that has ended
	begun   time.Time
	awaited atomic.Pointer[upstreamCall] // call whose answer it waits for: of its own fill, or of another request's
	before  atomic.Int64                 // nanoseconds that it waited for the call of another request, before it made its own
}

var _ cache.Requester = (*cachedCall)(nil)

// NewFill begins a call to Roam.
func (c *cachedCall) NewFill() cache.Fill {
	f := &fill{cachedCall: c, call: c.by.newCall()}
	if other := c.awaited.Swap(f.call); other != nil {
		c.before.Store(int64(other.queuedSince(c.begun)))
	}
	return f
}

// fill is a call to Roam whose response goes to the cache. It may outlive the request that began it.
type fill struct {
	*cachedCall
	call *upstreamCall
}

// Fetch sends the call and returns Roam's response. Interim responses go to the request that began the fill.
func (f *fill) Fetch(ctx context.Context, how cache.Call) (*http.Response, error) {
	f.call.Background = how.Background
	defer f.done.Store(f.call)
	ctx = httptrace.WithClientTrace(f.call.attach(ctx), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		f.interim.pass(status, http.Header(h))
		return nil
	}})
	out := f.p.upstreamRequest(ctx, f.r)
	out.Body, out.ContentLength = nil, 0
	if len(f.body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(f.body)), int64(len(f.body))
	}
	if how.PassThrough {
		delete(out.Header, "Cache-Control") // it is meant for roamproxy's cache
		cache.RemoveOwnTags(out.Header)
	} else {
		removeConditions(out.Header)
		maps.Copy(out.Header, how.Conditions)
	}
	res, err := f.by.upstream.chain.RoundTrip(out)
	if err == nil && f.by.upstream.credential.Keys().Partition != f.keys.Partition {
		cache.DoNotStore(res)
	}
	return res, err
}

// give sends an answer to the tool, or 304 if the tool has it already.
func (p *Proxy) give(rq *request, a *cache.Answer) {
	rq.Cache, rq.Status, rq.Code = a.Result, a.Status, Code(a.Header.Get("Roamproxy-Error"))
	if a.Status == http.StatusUnauthorized {
		p.credentialRefused(rq)
	}
	fits := isForTool
	if a.IsNotModified(rq.r.Header) {
		rq.Status = http.StatusNotModified
		fits = func(name string) bool { return isForTool(name) && cache.IsOfNotModified(name) }
	}
	h := rq.w.Header()
	p.mergeClean(h, a.Header, rq, fits)
	p.mark(h, rq, a.CacheStatus())
	if a.Result == cache.Hit || a.Result == cache.Stale || a.Age >= time.Second {
		h.Set("Age", strconv.FormatInt(int64(a.Age/time.Second), 10))
	}
	w := &toolWriter{ResponseWriter: rq.w}
	if a.Stream != nil {
		if a.Length >= 0 && canHaveBody(a.Status) {
			h.Set("Content-Length", strconv.FormatInt(a.Length, 10))
		}
		w.WriteHeader(rq.Status)
		p.copyStream(rq, w, a)
		return
	}
	if canHaveBody(rq.Status) && h["Content-Length"] == nil {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w.WriteHeader(rq.Status)
	if canHaveBody(rq.Status) && rq.r.Method != http.MethodHead {
		slowest := time.Duration(len(a.Body)/minToolRate) * time.Second // it is written at once
		http.NewResponseController(rq.w).SetWriteDeadline(time.Now().Add(toolIdleTimeout + slowest))
		writeAtOnce(rq.w, rq.r, a.Body)
	}
}

// copyStream copies an answer that is not cached. If Roam's answer breaks off, it aborts the tool's connection, so that the answer does not
// look complete.
func (p *Proxy) copyStream(rq *request, w *toolWriter, a *cache.Answer) {
	defer a.Stream.Close()
	piece := p.buffers.Get()
	defer p.buffers.Put(piece)
	for {
		if a.Length < 0 {
			w.FlushError() // the tool gets what has arrived before the next read waits
		}
		n, err := a.Stream.Read(piece)
		if n > 0 {
			if _, failed := w.Write(piece[:n]); failed != nil {
				err = failed
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			rq.Err = err
			panic(http.ErrAbortHandler)
		}
	}
}

// maxQuestion bounds the body of a POST that reads, in bytes. Roam's have a few hundred. A larger one is passed through and not cached, so
// that little is read before the call is queued.
const maxQuestion = 64 << 10

// readQuestion reads the body of a POST that reads. whole is false if the body is larger than maxQuestion; then r.Body still begins at its
// start.
func readQuestion(w http.ResponseWriter, r *http.Request) (body []byte, whole bool, err error) {
	if r.Method != http.MethodPost {
		return nil, true, nil
	}
	body, err = io.ReadAll(io.LimitReader(&upload{ReadCloser: r.Body, controller: http.NewResponseController(w)}, maxQuestion+1))
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", transport.ErrBody, err)
	}
	if len(body) <= maxQuestion {
		return body, true, nil
	}
	r.Body = httpbody.Unread(body, r.Body, nil)
	return nil, false, nil
}

func canHaveBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
