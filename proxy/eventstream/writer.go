// Package eventstream forwards streams of server-sent events (HTML standard, section 9.2) from Roam to a tool. MCP opens such streams.
//
//	Transport   delays a client that reopens its stream too soon; a stream that Roam does not offer costs no call
//	Writer      adds comments to a silent stream, so that no balancer closes it
//	Streams     the state of all streams; Drain ends them when the process stops
package eventstream

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// KeepAlive is the longest time without a byte in a stream to a tool. Balancers and firewalls close connections that are idle for 30 s or
// more, and Node's fetch after 300 s.
const KeepAlive = 25 * time.Second

// comment is ignored by clients (HTML standard, section 9.2.6).
const comment = ": keep-alive\n\n"

// IsStream reports whether h belongs to a response of server-sent events.
func IsStream(h http.Header) bool {
	return isEventStream(h.Get("Content-Type"))
}

// CanComment reports whether comments may be added to the response that h belongs to: a stream that is not compressed, without
// Content-Length.
func CanComment(h http.Header) bool {
	coding := h.Get("Content-Encoding")
	return IsStream(h) && h["Content-Length"] == nil && (coding == "" || strings.EqualFold(coding, "identity"))
}

// Output is where a Writer writes, such as an http.ResponseWriter.
type Output interface {
	Write([]byte) (int, error)
	FlushError() error
}

// Writer writes an event stream. After each period without a byte it adds a comment, but never inside an event. It may be used by many
// goroutines.
type Writer struct {
	every  time.Duration
	failed func(error)

	mu       sync.Mutex // guards the following, and every use of out
	out      Output
	position position
	timer    *time.Timer
	stopped  bool
}

// NewWriter returns a Writer that adds a comment after each period of length every without a byte. It calls failed if a comment cannot be
// written. Stop must be called.
func NewWriter(out Output, every time.Duration, failed func(error)) *Writer {
	w := &Writer{out: out, every: every, failed: failed, position: newPosition()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(every, w.keepAlive)
	return w
}

// Write writes a piece of the stream.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer.Reset(w.every)
	}
	n, err := w.out.Write(p)
	w.position.advance(p[:n])
	return n, err
}

// FlushError sends buffered bytes.
func (w *Writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.FlushError()
}

// Stop ends the comments. After it has returned, the Writer writes nothing by itself.
func (w *Writer) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func (w *Writer) keepAlive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.timer.Reset(w.every)
	if !w.position.isBetweenEvents() {
		return
	}
	_, err := w.out.Write([]byte(comment))
	if err == nil {
		err = w.out.FlushError()
	}
	if err != nil {
		w.failed(err)
	}
}
