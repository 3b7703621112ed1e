package proxy

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"roamproxy/cache"
)

// interim hands Roam's responses of 1xx on to a tool that waits for the final one (RFC 9110, section 15.2).
type interim struct {
	p  *Proxy
	rq *request

	mu     sync.Mutex // guards the following, and the tool's response until it is over
	passed int
	over   bool // whatever Roam says now, the response belongs to the goroutine that serves the request
}

// mostInterim bounds how many of them are handed on for one call. A server sends more than one or two to say that it is still at work;
// a tool may take a flood of them for a response without end.
const mostInterim = 100

// pass is called by net/http, on a goroutine of its own. The header is changed.
func (i *interim) pass(status int, header http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || i.passed == mostInterim || status == http.StatusContinue || !i.rq.r.ProtoAtLeast(1, 1) { // the body is here already, and HTTP/1.0 knows none
		return
	}
	i.passed++
	h := i.rq.w.Header()
	final := maps.Clone(h)
	clear(h)
	cache.RemoveHopByHop(header)
	i.p.clean(header, i.rq)
	maps.Copy(h, header)
	http.NewResponseController(i.rq.w).SetWriteDeadline(time.Now().Add(patience))
	i.rq.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
}

func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}
