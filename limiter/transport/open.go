package transport

import (
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"roamproxy/limiter"
)

// ErrTooManyOpen says that the tool has as many open responses as it may.
var ErrTooManyOpen = errors.New("limiter: too many responses are open")

// OpenResponses bounds how many responses of one quota are read at once. It is safe for concurrent use.
//
// A slot of limiter.Options.MaxInFlight is free again when the header of a response is here. What follows may take minutes, or, where it
// is an event stream, hours. It holds a connection to Roam and one of the tool all that time, so it is bounded too, by Shares.
type OpenResponses struct {
	places *Shares // one from sending to the end of the body: it must be there before it is known how long that takes

	mu    sync.Mutex
	calls map[string]int // that wait for a header, by tool
	open  map[string]int // responses that are being read, by tool
}

// NewOpenResponses returns a bound of so many responses that are read at once.
func NewOpenResponses(limit int) *OpenResponses {
	return &OpenResponses{places: NewShares(int64(limit)), calls: make(map[string]int), open: make(map[string]int)}
}

// Resize changes the limit. Responses that are being read stay.
func (o *OpenResponses) Resize(limit int) { o.places.Resize(int64(limit)) }

// Calls returns by tool how many calls were sent and have no response header yet.
func (o *OpenResponses) Calls() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.calls)
}

// Open returns by tool how many responses are being read.
func (o *OpenResponses) Open() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.open)
}

// tooManyOpenRetry is the Retry-After of a call that may have no open response: most are read within seconds, and a stream that
// stays for hours makes a tool ask no more often than this.
const tooManyOpenRetry = 5 * time.Second

// check refuses a call of a tool that may have no open response now.
func (o *OpenResponses) check(tool limiter.Tool) error {
	if o == nil || o.places.May(tool.FlowName(), 1) {
		return nil
	}
	return tooManyOpen()
}

func tooManyOpen() error {
	return &limiter.Refusal{Reason: ErrTooManyOpen, RetryAfter: tooManyOpenRetry}
}

// send takes a place for a call that is about to be sent.
func (o *OpenResponses) send(tool limiter.Tool) error {
	if o == nil {
		return nil
	}
	if !o.places.Take(tool.FlowName(), 1) {
		return tooManyOpen()
	}
	o.count(o.calls, tool.Name, 1)
	return nil
}

// fail gives the place of a call back that has no response.
func (o *OpenResponses) fail(tool limiter.Tool) {
	if o != nil {
		o.count(o.calls, tool.Name, -1)
		o.places.Release(tool.FlowName(), 1)
	}
}

// read counts a call's response as open until its body was read to the end or closed.
func (o *OpenResponses) read(tool limiter.Tool, body io.ReadCloser) io.ReadCloser {
	if o == nil {
		return body
	}
	o.count(o.calls, tool.Name, -1)
	o.count(o.open, tool.Name, 1)
	return &openBody{ReadCloser: body, end: sync.OnceFunc(func() {
		o.count(o.open, tool.Name, -1)
		o.places.Release(tool.FlowName(), 1)
	})}
}

func (o *OpenResponses) count(in map[string]int, tool string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if in[tool] += n; in[tool] == 0 {
		delete(in, tool)
	}
}

// openBody is the body of an open response.
type openBody struct {
	io.ReadCloser
	end func()
}

func (b *openBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *openBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
