// Package eventstream carries streams of server-sent events (HTML standard, section 9.2) from Roam to a tool, as MCP opens them.
//
//	Transport   a client that reopens its stream too soon waits, and one that Roam does not offer costs no call
//	Writer      comments keep a silent stream alive
//	Streams     what all of them share; Drain ends them when the process stops
package eventstream

import (
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

// KeepAlive is the longest silence of a stream to a tool. Balancers and firewalls cut connections that are silent for 30 s or
// more, Node's fetch after 300 s.
const KeepAlive = 25 * time.Second

// comment is not seen by a client's program (HTML standard, section 9.2.6).
const comment = ": keep-alive\n\n"

// IsStream reports whether h belongs to a response of server-sent events.
func IsStream(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/event-stream"
}

// CanComment reports whether comments may be added to the response that h belongs to: a stream of plain text whose length was
// not announced.
func CanComment(h http.Header) bool {
	coding := h.Get("Content-Encoding")
	return IsStream(h) && h["Content-Length"] == nil && (coding == "" || strings.EqualFold(coding, "identity"))
}

// Output is where a Writer writes, such as an http.ResponseWriter.
type Output interface {
	Write([]byte) (int, error)
	FlushError() error
}

// Writer writes an event stream, and a comment after each silence of some length, but never into an event. It may be used by many
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

// NewWriter returns a Writer whose silences last at most every. Where a comment cannot be written failed is called. Stop must be
// called.
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

// FlushError sends on what was written.
func (w *Writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.FlushError()
}

// Stop ends the comments. When it has returned nothing is written any more.
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
