package proxy

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"roamproxy/cache"
)

// interimWriter forwards Roam's 1xx responses to a tool that waits for the final one (RFC 9110, section 15.2).
type interimWriter struct {
	p  *Proxy
	rq *request

	mu    sync.Mutex // guards the following, and the tool's response until over is true
	count int
	over  bool // the response belongs to the goroutine that serves the request; later 1xx responses are dropped
}

// maxInterim bounds the 1xx responses that are forwarded for one call. A slow server may send several; a tool could read a flood of
// them for ever.
const maxInterim = 100

// pass forwards one response. net/http calls it on a goroutine of its own. It changes header.
func (i *interimWriter) pass(status int, header http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// 100: the body was read already; HTTP/1.0 has no 1xx
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
