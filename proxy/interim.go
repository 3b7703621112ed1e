package proxy

import (
	"maps"
	"net/http"
	"net/textproto"
	"sync"
	"time"
)

// interim hands Roam's interim answers, those of 1xx, on to a tool that waits for the final one (RFC 9110, section 15.2).
type interim struct {
	p *Proxy
	v *visit

	mu     sync.Mutex // guards the following, and the tool's answer until it is over
	passed int
	over   bool // whatever Roam says now, the tool's answer is its own goroutine's
}

// mostInterim bounds how many of them are handed on for one call. Who sends more than one or two does so to say that it is still at
// work; a tool may take a flood of them for an answer without end.
const mostInterim = 100

// pass is called by net/http, on a goroutine of its own.
func (i *interim) pass(status int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || i.passed == mostInterim || status == http.StatusContinue || !i.v.r.ProtoAtLeast(1, 1) { // the body is here already, and HTTP/1.0 knows none
		return nil
	}
	i.passed++
	h := i.v.w.Header()
	final := maps.Clone(h)
	clear(h)
	RemoveHopByHop(http.Header(header))
	i.p.hand(h, http.Header(header), i.v)
	http.NewResponseController(i.v.w).SetWriteDeadline(time.Now().Add(patience))
	i.v.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
	return nil
}

func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}
