package proxy

import (
	"io"
	"net/http"
	"time"
)

// toolIdleTimeout is how long a tool may make no progress while it sends its body or reads its response.
const toolIdleTimeout = 30 * time.Second

// minToolRate is the least average rate of a tool's transfer, in bytes a second, after a grace of toolIdleTimeout: half a megabit. It
// keeps a tool that sends or reads very slowly from holding a connection for long.
const minToolRate = 64 << 10

// transfer measures the time that a tool takes to send or read a body. It does not count the time that Roam takes.
type transfer struct {
	bytes   int64
	elapsed time.Duration
}

// deadline returns the time by which the tool must have sent or read the next piece.
func (t *transfer) deadline(now time.Time) time.Time {
	allowed := toolIdleTimeout + time.Duration(t.bytes/minToolRate)*time.Second - t.elapsed
	return now.Add(min(allowed, toolIdleTimeout))
}

// add adds a piece of n bytes that was begun at start.
func (t *transfer) add(n int, start time.Time) {
	t.bytes, t.elapsed = t.bytes+int64(n), t.elapsed+time.Since(start)
}

// upload is a tool's body, bounded in time.
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
	if err == io.EOF { // after another error net/http reads on, and needs the deadline
		u.controller.SetReadDeadline(time.Time{}) // or net/http would report at the deadline that the tool has left
	}
	return n, err
}

// toolWriter writes a response to a tool, and bounds how slowly the tool may read it. It keeps net/http from guessing a Content-Type that
// Roam did not send.
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

// FlushError sends buffered bytes.
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
