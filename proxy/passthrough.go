package proxy

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"roamproxy/proxy/eventstream"
)

// passThrough forwards a request to Roam, and Roam's response to the tool, without caching. Responses of unknown length and event
// streams are flushed after each read.
func (p *Proxy) passThrough(rq *request) {
	rq.call = rq.newCall()
	ctx, cancel := rq.callContext()
	defer cancel(nil)
	in := rq.r.WithContext(rq.call.attach(ctx))
	// a body of these has no meaning (RFC 9110, section 9.3.1)
	if in.Body = p.upload(rq); in.Method == http.MethodGet || in.Method == http.MethodHead {
		in.ContentLength = 0
	}
	w := &passWriter{
		toolWriter: toolWriter{ResponseWriter: rq.w}, header: make(http.Header), interim: interimWriter{p: p, rq: rq},
		keepAlive: p.o.KeepAlive, cancel: cancel, readToEnd: rq.write != nil && rq.write.HasKey(),
	}
	defer func() {
		w.stop()
		if rq.Err == nil {
			rq.Err = w.err
		}
	}()
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.setTarget(r.Out, r.In)
			if rq.body != nil {
				rq.body.Seek(0, io.SeekStart) // a step may have read it
				r.Out.Body, r.Out.ContentLength = rq.body, rq.body.Size()
			}
		},
		Transport:      rq.upstream.chain,
		ModifyResponse: func(res *http.Response) error { p.modifyResponse(rq, res); return nil },
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			rq.recordFailedWrite(err)
			p.fail(rq, err)
		},
		BufferPool: &p.buffers,
		ErrorLog:   p.discardLog,
	}
	proxy.ServeHTTP(w, in)
}

// upload returns the tool's body, bounded in size and in time.
func (p *Proxy) upload(rq *request) io.ReadCloser {
	return &upload{ReadCloser: http.MaxBytesReader(rq.w, rq.r.Body, p.o.MaxBody), controller: http.NewResponseController(rq.w)}
}

// modifyResponse changes Roam's response for the tool, before its header is written.
func (p *Proxy) modifyResponse(rq *request, res *http.Response) {
	rq.Status, rq.Code = res.StatusCode, Code(res.Header.Get("Roamproxy-Error"))
	rq.recordCall(rq.call)
	if rq.write != nil {
		rq.write.Answered(res)
	}
	p.invalidateAnswered(rq)
	res.Body = p.withListChanges(rq, res)
	p.readList(rq, res)
	p.clean(res.Header, rq)
	p.mark(res.Header, rq, rq.forwarded())
	res.Body = &watchedBody{p.withInvalidation(rq, res), rq}
}

// watchedBody records for the log why a response broke off. httputil.ReverseProxy then aborts the tool's connection, so that the
// response does not look complete.
type watchedBody struct {
	io.ReadCloser
	rq *request
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.rq.Err = err
	}
	return n, err
}

// passWriter is the http.ResponseWriter that httputil.ReverseProxy writes to. Header fields that earlier steps have set are kept.
type passWriter struct {
	toolWriter
	header    http.Header
	interim   interimWriter
	keepAlive time.Duration // longest time without a byte in an event stream
	cancel    context.CancelCauseFunc
	events    *eventstream.Writer // nil: the response is no event stream
	toolGone  bool                // the tool has left, and the response is read all the same
	readToEnd bool                // the response is read to its end although the tool has left: a repeat gets it
}

func (w *passWriter) Header() http.Header { return w.header }

// WriteHeader is called for each interim response too.
func (w *passWriter) WriteHeader(status int) {
	if status < http.StatusOK {
		w.interim.pass(status, w.header)
		return
	}
	merge(w.ResponseWriter.Header(), w.header)
	w.toolWriter.WriteHeader(status)
	if eventstream.CanComment(w.header) {
		failed := func(err error) {
			if !w.readToEnd {
				w.cancel(err)
			}
		}
		w.events = eventstream.NewWriter(&w.toolWriter, w.keepAlive, failed)
	}
}

func (w *passWriter) Write(p []byte) (int, error) {
	if w.toolGone {
		return len(p), nil
	}
	n, err := 0, error(nil)
	if w.events != nil {
		n, err = w.events.Write(p)
	} else {
		n, err = w.toolWriter.Write(p)
	}
	if err != nil && w.readToEnd {
		w.toolGone = true
		return len(p), nil
	}
	return n, err
}

// FlushError sends buffered bytes to the tool.
func (w *passWriter) FlushError() error {
	if w.toolGone {
		return nil
	}
	if w.events != nil {
		return w.events.FlushError()
	}
	return w.toolWriter.FlushError()
}

// stop ends the keep-alive comments.
func (w *passWriter) stop() {
	if w.events != nil {
		w.events.Stop()
	}
}

// copySize is the size of a copy buffer, in bytes. io.Copy uses the same.
const copySize = 32 << 10

// buffers is a pool of copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if piece, ok := b.pool.Get().(*[]byte); ok {
		return *piece
	}
	return make([]byte, copySize)
}

func (b *buffers) Put(piece []byte) { b.pool.Put(&piece) }

// newDiscardLog returns the error log of httputil.ReverseProxy. The log line of the request already says why a response broke off.
func newDiscardLog() *log.Logger { return log.New(io.Discard, "", 0) }
