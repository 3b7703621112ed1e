package proxy

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"roamproxy/cache"
)

// interimWriter hands Roam's responses of 1xx on to a tool that waits for the final one (RFC 9110, section 15.2).
type interimWriter struct {
	p  *Proxy
	rq *request

	mu    sync.Mutex // guards the following, and the tool's response until it is over
	count int
	over  bool // whatever Roam says now, the response belongs to the goroutine that serves the request
}

// maxInterim bounds how many of them are handed on for one call. A server sends more than one or two to say that it is still at work;
// a tool may take a flood of them for a response without end.
const maxInterim = 100

// pass is called by net/http, on a goroutine of its own. The header is changed.
func (i *interimWriter) pass(status int, header http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// the body is here already, and HTTP/1.0 knows none
	if i.over || i.count == maxInterim || status == http.StatusContinue || !i.rq.r.ProtoAtLeast(1, 1) {
		return
	}
	i.count++
	h := i.rq.w.Header()
	final := maps.Clone(h)
	clear(h)
	cache.RemoveHopByHop(header)
	i.p.clean(header, i.rq)
	maps.Copy(h, header)
	http.NewResponseController(i.rq.w).SetWriteDeadline(time.Now().Add(toolIdleTimeout))
	i.rq.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
}

func (i *interimWriter) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}
