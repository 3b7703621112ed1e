package proxy

import (
	"io"
	"net/http"
	"time"
)

// toolIdleTimeout is how long a tool may make no progress, with its body or in reading its response.
const toolIdleTimeout = 30 * time.Second

// minToolRate is how fast a tool must send and read at least, over the whole of a body and besides its patience, in bytes a second:
// half a megabit. A tool that reads drop by drop holds connections, of which there are only so many.
const minToolRate = 64 << 10

// transfer measures a tool's own share of the time that a body takes.
type transfer struct {
	bytes   int64
	elapsed time.Duration
}

// deadline is until when the tool must have taken or sent the next piece.
func (p *transfer) deadline(now time.Time) time.Time {
	allowed := toolIdleTimeout + time.Duration(p.bytes/minToolRate)*time.Second - p.elapsed
	return now.Add(min(allowed, toolIdleTimeout))
}

// add adds a piece of n bytes that was begun at start.
func (p *transfer) add(n int, start time.Time) {
	p.bytes, p.elapsed = p.bytes+int64(n), p.elapsed+time.Since(start)
}

// upload is a tool's body: bounded in size, and in time.
type upload struct {
	io.ReadCloser
	controller *http.ResponseController
	transfer   transfer
}

func (u *upload) Read(p []byte) (int, error) {
	begun := time.Now()
	u.controller.SetReadDeadline(u.transfer.deadline(begun))
	n, err := u.ReadCloser.Read(p)
	u.transfer.add(n, begun)
	if err == io.EOF { // after any other error net/http reads on, to see whether the rest is worth the connection
		u.controller.SetReadDeadline(time.Time{}) // or net/http would take the deadline for the tool leaving
	}
	return n, err
}

// toolWriter writes a response to a tool, which may take its time to read it but not for ever. It adds no Content-Type that Roam did not
// give.
type toolWriter struct {
	http.ResponseWriter
	transfer transfer
	err      error // of the last write
}

func (w *toolWriter) WriteHeader(status int) {
	h := w.ResponseWriter.Header()
	if len(h["Content-Type"]) == 0 {
		h["Content-Type"] = nil // or net/http would guess one
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *toolWriter) Write(p []byte) (int, error) {
	start := w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.transfer.add(n, start)
	w.err = err
	return n, err
}

// FlushError sends on what was written.
func (w *toolWriter) FlushError() error {
	start := w.begin()
	err := http.NewResponseController(w.ResponseWriter).Flush()
	w.transfer.add(0, start)
	return err
}

// begin sets the deadline of a write.
func (w *toolWriter) begin() time.Time {
	now := time.Now()
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(w.transfer.deadline(now))
	return now
}
