package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// kept answers a read that may be kept.
func (p *Proxy) kept(v *visit) {
	keepShareable(v.r.Header, v.Method)
	if p.paged(v) {
		return
	}
	body, whole, err := asked(v.w, v.r)
	if err != nil {
		p.fail(v, err)
		return
	}
	if !whole {
		p.streamed(v)
		return
	}
	a, err := p.ask(v, v.r, body)
	if err != nil {
		p.fail(v, err)
		return
	}
	p.give(v, a)
}

// ask puts a question to the cache: r, which is the tool's or asks for more of the same.
func (p *Proxy) ask(v *visit, r *http.Request, body []byte) (*cache.Answer, error) {
	f := &filling{p: p, lane: v.lane, r: r, body: body}
	a, err := p.o.Cache.Do(v.asker(), cache.Question{
		Key: cache.NewKey(v.lane.name, r, body), Route: cacheGroup(v.Route, r.URL.RawQuery), Rule: v.rule.Rule, Head: r.Method == http.MethodHead, Request: r.Header,
	}, f.fill)
	if j := f.made.Load(); j != nil && !j.Spare {
		v.learn(j)
	} else if refusal, ok := errors.AsType[*limiter.Refusal](err); ok {
		v.Queue = refusal.Waited // for the call of another
	}
	return a, err
}

// filling is a question on its way to Roam, if it comes to that.
type filling struct {
	p    *Proxy
	lane *lane
	r    *http.Request
	body []byte
	made atomic.Pointer[journey] // by our own fill, once it is over
}

func (f *filling) fill(ctx context.Context, call cache.Call) (*http.Response, error) {
	j := travelling(ctx)
	j.Spare = call.Spare
	defer f.made.Store(j)
	out := f.p.outgoing(ctx, f.r)
	out.Body, out.ContentLength = nil, 0
	if len(f.body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(f.body)), int64(len(f.body))
	}
	if call.Through {
		delete(out.Header, "Cache-Control") // it is for roamproxy's cache
		cache.Foreign(out.Header)
	} else {
		unconditional(out.Header)
		maps.Copy(out.Header, call.Conditions)
	}
	return f.lane.exchange.RoundTrip(out)
}

// give hands an answer to the tool, or says that the tool has it already.
func (p *Proxy) give(v *visit, a *cache.Answer) {
	w, r := v.w, v.r
	v.Cache, v.Status, v.Code = a.Result, a.Status, a.Header.Get("Roamproxy-Error")
	from := a.Header
	unchanged := a.Unchanged(r.Header)
	if unchanged {
		v.Status, from = http.StatusNotModified, cache.Unchanging(from)
	}
	h := w.Header()
	p.hand(h, from, v)
	p.mark(h, v, a.CacheStatus())
	if a.Result == cache.Hit || a.Result == cache.Stale || a.Age >= time.Second {
		v.tell(h, "Age", strconv.FormatInt(int64(a.Age/time.Second), 10))
	}
	if a.Stream != nil {
		if a.Length >= 0 && bodyAllowed(a.Status) {
			h["Content-Length"] = []string{strconv.FormatInt(a.Length, 10)}
		}
		v.relay(a.Stream, a.Length)
		return
	}
	slowest := time.Duration(len(a.Body)/leastPace) * time.Second
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience + slowest))
	if bodyAllowed(v.Status) && h["Content-Length"] == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	}
	if r.Method == http.MethodHead || !bodyAllowed(v.Status) {
		w.WriteHeader(v.Status)
		return
	}
	if c := connectionOf(r); c != nil {
		c.join(len(a.Body))
		defer c.part()
	}
	w.WriteHeader(v.Status)
	w.Write(a.Body)
}

// questionSize bounds the body of a POST that reads. Roam's are a few hundred bytes; what is larger goes through unkept, so that
// what is read before the line is little.
const questionSize = 64 << 10

// asked reads the body of a question. One that is too large for a question is put back.
func asked(w http.ResponseWriter, r *http.Request) (body []byte, whole bool, err error) {
	if r.Method != http.MethodPost {
		return nil, true, nil
	}
	body, err = io.ReadAll(io.LimitReader(&upload{ReadCloser: r.Body, controller: http.NewResponseController(w)}, questionSize+1))
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", limiter.ErrBody, err)
	}
	if len(body) <= questionSize {
		return body, true, nil
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return nil, false, nil
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
