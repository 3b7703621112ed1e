package roamtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"syscall"
)

// Transport returns an http.RoundTripper that calls the handler without a socket, so that it works in simulated time. Bodies are streamed.
// If the handler aborts, the caller gets a connection reset, or an unexpected end of the body. It calls the hooks of httptrace as
// http.Transport does.
func (r *Roam) Transport() http.RoundTripper { return direct{r} }

type direct struct{ handler http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx)
	in.RequestURI = req.URL.RequestURI()
	if u, err := url.ParseRequestURI(in.RequestURI); err == nil {
		in.URL = u // as a server would read it
	}
	in.RemoteAddr = "127.0.0.1:1"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	trace := httptrace.ContextClientTrace(req.Context())
	tell := func(f func(*httptrace.ClientTrace)) {
		if trace != nil {
			f(trace)
		}
	}
	tell(func(t *httptrace.ClientTrace) {
		if t.GotConn != nil {
			t.GotConn(httptrace.GotConnInfo{})
		}
		if t.WroteHeaders != nil {
			t.WroteHeaders()
		}
		if t.WroteRequest != nil {
			t.WroteRequest(httptrace.WroteRequestInfo{})
		}
	})
	reader, writer := io.Pipe()
	w := &answer{header: make(http.Header), body: writer, begun: make(chan struct{})}
	go func() {
		defer in.Body.Close()
		defer w.end()
		d.handler.ServeHTTP(w, in)
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		cancel()
		reader.CloseWithError(ctx.Err())
		return nil, ctx.Err()
	}
	if w.broken {
		cancel()
		return nil, syscall.ECONNRESET
	}
	tell(func(t *httptrace.ClientTrace) {
		if t.GotFirstResponseByte != nil {
			t.GotFirstResponseByte()
		}
	})
	res := &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: -1, Request: req,
	}
	if n := w.sent.Get("Content-Length"); n != "" {
		res.ContentLength = length(n)
	}
	body := &stream{PipeReader: reader, caller: req.Context(), cancel: cancel,
		stop: context.AfterFunc(ctx, func() { reader.CloseWithError(ctx.Err()) })}
	res.Body = body
	if req.Method == http.MethodHead {
		body.Close()
		res.Body = http.NoBody
	}
	return res, nil
}

func length(s string) (n int64) {
	for _, d := range s {
		n = n*10 + int64(d-'0')
	}
	return n
}

type stream struct {
	*io.PipeReader
	caller context.Context
	cancel context.CancelFunc
	stop   func() bool
}

// Read returns the error of the caller's context once that has ended, and not that of the handler.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.PipeReader.Read(p)
	if err != nil && s.caller.Err() != nil {
		err = s.caller.Err()
	}
	return n, err
}

func (s *stream) Close() error {
	s.stop()
	s.cancel()
	return s.PipeReader.Close()
}

// answer is the handler's side.
type answer struct {
	header http.Header
	body   *io.PipeWriter

	once   sync.Once
	begun  chan struct{}
	status int // these are written before begun is closed
	sent   http.Header
	broken bool
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush sends the header, as on a socket.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

// end closes the body, with an error if the handler aborted.
func (a *answer) end() {
	problem := recover()
	if err, ok := problem.(error); problem != nil && !(ok && errors.Is(err, http.ErrAbortHandler)) {
		panic(problem)
	}
	if problem == nil {
		a.WriteHeader(http.StatusOK)
		a.body.Close()
		return
	}
	a.once.Do(func() {
		a.broken = true
		close(a.begun)
	})
	a.body.CloseWithError(io.ErrUnexpectedEOF)
}

var _ http.Flusher = (*answer)(nil)
