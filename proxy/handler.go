package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"roamproxy/cache"
	"roamproxy/limiter"
)

// kept answers a read that may be kept.
func (p *Proxy) kept(w http.ResponseWriter, r *http.Request) {
	if p.paged(w, r) {
		return
	}
	body, whole, err := asked(w, r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if !whole {
		p.streamed(w, r)
		return
	}
	a, err := p.ask(r, body)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.give(w, r, a)
}

// ask puts a question to the cache.
func (p *Proxy) ask(r *http.Request, body []byte) (*cache.Answer, error) {
	v := visiting(r)
	f := &filling{p: p, r: r, body: body}
	a, err := p.o.Cache.Do(r.Context(), cache.Question{
		Key: cache.NewKey(v.lane.name, r, body), Route: v.Route, Rule: v.rule.Rule, Head: r.Method == http.MethodHead, Request: r.Header,
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
	r    *http.Request
	body []byte
	made atomic.Pointer[journey] // by our own fill, once it is over
}

func (f *filling) fill(ctx context.Context, call cache.Call) (*http.Response, error) {
	j := travelling(ctx)
	j.Spare = call.Spare
	defer f.made.Store(j)
	out := f.p.question(f.r).WithContext(ctx)
	if len(f.body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(f.body)), int64(len(f.body))
	}
	if call.Through {
		cache.Foreign(out.Header)
	} else {
		unconditional(out.Header)
		maps.Copy(out.Header, call.Conditions)
	}
	return visiting(f.r).lane.exchange.RoundTrip(out)
}

// give hands an answer to the tool, or says that the tool has it already.
func (p *Proxy) give(w http.ResponseWriter, r *http.Request, a *cache.Answer) {
	v := visiting(r)
	v.Cache, v.Status = a.Result, a.Status
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
		defer a.Stream.Close()
		if a.Length >= 0 && bodyAllowed(a.Status) {
			h["Content-Length"] = []string{strconv.FormatInt(a.Length, 10)}
		}
		w.WriteHeader(a.Status)
		controller := http.NewResponseController(w)
		if _, err := io.Copy(w, &download{ReadCloser: a.Stream, controller: controller}); err != nil {
			v.Err = err
			panic(http.ErrAbortHandler) // a cut answer must not look whole
		}
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

// streamed hands everything else through.
func (p *Proxy) streamed(w http.ResponseWriter, r *http.Request) {
	v := visiting(r)
	j, ctx := v.depart(r.Context())
	controller := http.NewResponseController(w)
	j.controller = controller
	out := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &upload{ReadCloser: http.MaxBytesReader(w, r.Body, p.o.MaxBody), controller: controller}
	}
	if c := connectionOf(r); c != nil {
		defer c.part()
	}
	p.stream.ServeHTTP(w, out)
}

// streaming is the second way. Its Transport finds the lane of the visit.
func (p *Proxy) streaming() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL, pr.Out.Host, pr.Out.Trailer = p.address(pr.In), "", nil
			strip(pr.Out.Header)
		},
		Transport: through{},
		ModifyResponse: func(res *http.Response) error {
			r := res.Request
			v, j := visiting(r), travelling(r.Context())
			v.Status = res.StatusCode
			v.learn(j)
			p.settle(r, res.StatusCode)
			maps.DeleteFunc(res.Header, func(name string, _ []string) bool { return forPages(name) })
			p.returned(res.Header, v)
			res.Trailer = nil
			fwd := "roamproxy; fwd=bypass"
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				fwd = "roamproxy; fwd=method"
			}
			p.mark(res.Header, v, fwd)
			if c := connectionOf(r); c != nil && res.ContentLength <= copied { // the whole of it is read at once, as a rule
				c.join(int(res.ContentLength))
			}
			res.Body = &download{ReadCloser: res.Body, controller: j.controller}
			return nil
		},
		BufferPool:   &buffers{sync.Pool{New: func() any { b := make([]byte, copied); return &b }}}, // of the size that it would make anew each time
		ErrorHandler: p.fail,                                                                        // and no FlushInterval: what has no length, such as an export, is flushed piece by piece anyway
		ErrorLog:     log.New(io.Discard, "", 0),                                                    // what it would say is in the visit
	}
}

// copied is how much of an answer is copied at a time.
const copied = 32 << 10

// buffers are what answers are copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) } // its 24 bytes are little beside a call to Roam

// through sends a request down its visit's lane.
type through struct{}

func (through) RoundTrip(r *http.Request) (*http.Response, error) {
	return visiting(r).lane.exchange.RoundTrip(r)
}
