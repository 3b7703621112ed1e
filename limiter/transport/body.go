package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"roamproxy/limiter"
)

// ErrBytesFull is a limiter.ErrQueueFull: the bodies of the tool's queued calls take as much as they may.
var ErrBytesFull = fmt.Errorf("%w: too many bytes of bodies", limiter.ErrQueueFull)

// ErrBody says that the tool's own body could not be read to its end; the call was not sent.
var ErrBody = errors.New("limiter: the request's body could not be read")

// inMemory is how large a body is kept in memory: JSON calls are far below it, an uploaded file goes to disk.
const inMemory = 64 << 10

// Bodies holds request bodies while their calls are queued. So a call can be sent again byte for byte, and net/http, which reads from
// a connection only once its request was read, notices that a tool disconnects. It is shared by all queues.
//
// What is held is bounded, and divided among the tools by Shares. A body of at most 64 KiB is always accepted.
type Bodies struct {
	dir    string
	shares *Shares // of bytes
}

// NewBodies holds so many bytes at once, in memory and on disk; 0: 64 MiB. Bodies over 64 KiB go to files without a name in dir; "":
// the system's. Where no file can be made they stay in memory.
func NewBodies(limit int64, dir string) *Bodies {
	if limit <= 0 {
		limit = 64 << 20
	}
	return &Bodies{dir: dir, shares: NewShares(limit)}
}

// Held returns how many bytes are held now.
func (b *Bodies) Held() int64 { return b.shares.Taken() }

// body is the body of one request. It is freed when the call and every attempt that still reads it have released it.
type body struct {
	store *Bodies
	flow  string // of the tool: the names of one process have one share
	size  int64
	bytes []byte
	file  *os.File
	users atomic.Int32
}

// Hold reads a tool's r to its end, closes it, and returns a body that a RoundTripper sends as it is. Errors are a *limiter.Refusal where
// the tool holds too much, and ErrBody with that of r.
func (b *Bodies) Hold(tool limiter.Tool, r io.ReadCloser) (*HeldBody, error) {
	h, err := b.hold(tool, r)
	if err != nil {
		return nil, err
	}
	return h.reader(), nil
}

// hold reads a tool's r to its end and closes it. A body that is held already is taken over.
func (b *Bodies) hold(tool limiter.Tool, r io.ReadCloser) (*body, error) {
	if held, ok := r.(*HeldBody); ok && !held.closed.Swap(true) {
		return held.body, nil
	}
	h := &body{store: b, flow: tool.FlowName()}
	h.users.Store(1)
	if r == nil || r == http.NoBody {
		return h, nil
	}
	defer r.Close()
	if err := h.fill(r); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

func (h *body) fill(r io.Reader) error {
	r = &counted{r, h}
	var head bytes.Buffer // grows with the body: io.Copy would take 32 KiB for each
	n, err := head.ReadFrom(io.LimitReader(r, inMemory))
	if err == nil && n < inMemory {
		h.bytes = head.Bytes()
		return nil
	}
	if err == nil {
		h.file, _ = h.store.file()
	}
	switch {
	case err != nil:
	case h.file == nil: // no file can be made: memory, within the same bound
		_, err = head.ReadFrom(r)
		h.bytes = head.Bytes()
	default:
		if _, err = h.file.Write(head.Bytes()); err == nil {
			_, err = io.Copy(h.file, r)
		}
	}
	if err == nil || errors.Is(err, limiter.ErrQueueFull) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBody, err)
}

func (b *Bodies) file() (*os.File, error) {
	f, err := os.CreateTemp(b.dir, "roamproxy-body-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// bytesFullRetry is the Retry-After of a call whose body finds no place: the bytes of another are free when it leaves, and the quota's
// smallest natural step is the second.
const bytesFullRetry = time.Second

// counted lets only as many bytes through as the tool may have held.
type counted struct {
	io.Reader
	body *body
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	shares, flow := c.body.store.shares, c.body.flow
	if c.body.size+int64(n) <= inMemory {
		shares.Add(flow, int64(n))
	} else if !shares.Take(flow, int64(n)) {
		return 0, &limiter.Refusal{Reason: ErrBytesFull, RetryAfter: bytesFullRetry}
	}
	c.body.size += int64(n)
	return n, err
}

func (h *body) release() {
	if h.users.Add(-1) > 0 {
		return
	}
	h.store.shares.Release(h.flow, h.size)
	if h.file != nil {
		h.file.Close()
	}
}

// prepare puts a fresh copy of the body on req, and sees to it that the transport does not send req twice on its own when a
// kept connection dies: net/http does so for a GET without a body, for whatever has GetBody, and with an Idempotency-Key,
// which it knows by its canonical spelling only.
func (h *body) prepare(req *http.Request) {
	req.GetBody = nil
	req.ContentLength = h.size
	req.TransferEncoding = nil
	req.Trailer = nil
	if h.size > 0 {
		h.users.Add(1)
		req.Body = h.reader()
	} else if repeated(req.Method) {
		req.Body = io.NopCloser(&bytes.Reader{}) // not nil and not NoBody, so not to be sent again
		req.TransferEncoding = identity          // or net/http would look with a goroutine and a timer whether it is empty, 1.5 µs
	} else {
		req.Body = http.NoBody
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := req.Header[name]; ok {
			req.Header = req.Header.Clone() // which is also that of the request that came
			delete(req.Header, name)
			req.Header[strings.ToLower(name)] = v // a spelling that net/http does not look for; names are case-insensitive (RFC 9110, section 5.1)
		}
	}
}

// repeated has the methods that net/http sends again by itself when they have no body.
func repeated(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// identity adds neither a length nor chunks to a call.
var identity = []string{"identity"}

func (h *body) reader() *HeldBody {
	r := &HeldBody{body: h}
	if h.file != nil {
		r.ReadSeeker = io.NewSectionReader(h.file, 0, h.size)
	} else {
		r.ReadSeeker = bytes.NewReader(h.bytes)
	}
	return r
}

// HeldBody is one reading of a body that is held; Seek goes back in it. It belongs to one goroutine, and must be closed.
type HeldBody struct {
	io.ReadSeeker
	body   *body
	closed atomic.Bool
}

// Size returns the bytes of the whole body.
func (r *HeldBody) Size() int64 { return r.body.size }

// Close frees the body, unless a RoundTripper sends it.
func (r *HeldBody) Close() error {
	if !r.closed.Swap(true) {
		r.body.release()
	}
	return nil
}
