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

// passThrough hands a request to Roam and Roam's response to the tool, as it comes. Responses of unknown length and event streams are
// flushed piece by piece.
func (p *Proxy) passThrough(v *request) {
	v.call = v.newCall()
	ctx, cancel := v.callContext()
	defer cancel(nil)
	in := v.r.WithContext(v.call.within(ctx))
	if in.Body = p.upload(v); in.Method == http.MethodGet || in.Method == http.MethodHead { // a body of these has no meaning (RFC 9110, section 9.3.1)
		in.ContentLength = 0
	}
	w := &passWriter{
		toolWriter: toolWriter{ResponseWriter: v.w}, header: make(http.Header), interim: interim{p: p, v: v},
		keepAlive: p.o.KeepAlive, cancel: cancel, whole: v.write != nil && v.write.HasKey(),
	}
	defer func() {
		w.stop()
		if v.Err == nil {
			v.Err = w.err
		}
	}()
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.address(r.Out, r.In)
			if v.body != nil {
				v.body.Seek(0, io.SeekStart) // a step may have read it
				r.Out.Body, r.Out.ContentLength = v.body, v.body.Size()
			}
		},
		Transport:      v.upstream.chain,
		ModifyResponse: func(res *http.Response) error { p.passed(v, res); return nil },
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			v.failedWrite(err)
			p.fail(v, err)
		},
		BufferPool: &p.buffers,
		ErrorLog:   p.silent,
	}
	proxy.ServeHTTP(w, in)
}

// upload is the tool's body, bounded in size and in time.
func (p *Proxy) upload(v *request) io.ReadCloser {
	return &upload{ReadCloser: http.MaxBytesReader(v.w, v.r.Body, p.o.MaxBody), controller: http.NewResponseController(v.w)}
}

// passed makes Roam's response one for the tool, before its header is written.
func (p *Proxy) passed(v *request, res *http.Response) {
	v.Status, v.Code = res.StatusCode, res.Header.Get("Roamproxy-Error")
	v.sent(v.call)
	if v.write != nil {
		v.write.Answered(res)
	}
	p.settle(v)
	res.Body = p.noticed(v, res)
	p.readList(v, res)
	p.clean(res.Header, v)
	p.mark(res.Header, v, v.forwarded())
	res.Body = &watchedBody{p.changing(v, res), v}
}

// watchedBody notes for the log why a response broke off. httputil.ReverseProxy ends the tool's connection then: it must not look
// whole.
type watchedBody struct {
	io.ReadCloser
	v *request
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.v.Err = err
	}
	return n, err
}

// passWriter is the tool's response as httputil.ReverseProxy writes it. Fields that are set already, such as those for browsers, stay.
type passWriter struct {
	toolWriter
	header    http.Header
	interim   interim
	keepAlive time.Duration // longest silence of an event stream
	cancel    context.CancelCauseFunc
	events    *eventstream.Writer // nil: it is no event stream
	gone      bool                // the tool has left, and the response is read all the same
	whole     bool                // the response is read to its end although the tool has left: a repeat gets it
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
			if !w.whole {
				w.cancel(err)
			}
		}
		w.events = eventstream.NewWriter(&w.toolWriter, w.keepAlive, failed)
	}
}

func (w *passWriter) Write(p []byte) (int, error) {
	if w.gone {
		return len(p), nil
	}
	n, err := 0, error(nil)
	if w.events != nil {
		n, err = w.events.Write(p)
	} else {
		n, err = w.toolWriter.Write(p)
	}
	if err != nil && w.whole {
		w.gone = true
		return len(p), nil
	}
	return n, err
}

// FlushError sends on what was written.
func (w *passWriter) FlushError() error {
	if w.gone {
		return nil
	}
	if w.events != nil {
		return w.events.FlushError()
	}
	return w.toolWriter.FlushError()
}

// stop ends the comments.
func (w *passWriter) stop() {
	if w.events != nil {
		w.events.Stop()
	}
}

// copySize is what httputil.ReverseProxy copies at a time, as io.Copy does.
const copySize = 32 << 10

// buffers lends the pieces that responses are copied by.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if piece, ok := b.pool.Get().(*[]byte); ok {
		return *piece
	}
	return make([]byte, copySize)
}

func (b *buffers) Put(piece []byte) { b.pool.Put(&piece) }

// silentLog is for what httputil.ReverseProxy says of responses that break off: the request's own line in the log has it.
func silentLog() *log.Logger { return log.New(io.Discard, "", 0) }
