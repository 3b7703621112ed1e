package proxy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"strconv"
	"sync"

	"roamproxy/cache"
	"roamproxy/limiter/transport"
	"roamproxy/proxy/httpbody"
)

// An agent reports every two seconds that it is typing, and some tools set a status every few minutes. The next report about the same
// subject replaces one that is still queued. So of the queued writes of one tool, route and subject only the newest is sent, at the
// place of the first. Its response answers all of them. This file calls such a write a pulse.
//
//	first  ──► pulse: queued ──────────────── slot and token ──► newestBody ──► Roam
//	second ──► joins: its body replaces the first's │                            │
//	third  ──► joins: its body replaces the second's│   later ones do not join   ▼
//	   ◄──────────────────────── the response, Roamproxy-Superseded: yes for all but the newest
//
// A message to a chat also ends a queued typing pulse there, so that no pulse is sent after the message that it announced. Such a pulse is
// answered at once, with {"ok":true} and the same header field.
//
// A write whose bytes were sent is never superseded. These writes describe the present and may be executed twice, so one of unknown
// outcome is not remembered.

// supersedeHeader marks the response to a write that was not sent because a newer one replaced it.
const supersedeHeader = "Roamproxy-Superseded"

// maxPulse bounds the body of a pulse, and its response, in bytes. Pulses have about a hundred.
const maxPulse = 64 << 10

// pulses holds the queued pulses. The zero value is ready.
type pulses struct {
	mu     sync.Mutex // guards queued, and the second group of fields in each pulse
	queued map[pulseKey]*pulse
}

type pulseKey struct{ tool, upstream, target, subject string }

// pulse is one queued pulse with the requests that joined it.
type pulse struct {
	of   *pulses
	key  pulseKey
	call *upstreamCall
	done chan struct{}

	// Guarded by pulses.mu.
	newest  *request
	body    []byte // of the newest
	waiting int    // requests that wait for the response
	ended   bool   // a message ended it before it was sent
	cancel  context.CancelFunc

	// Written before done is closed.
	response *http.Response // its body is in answer
	answer   []byte
	err      error
}

// supersede answers a write that can be superseded, and reports whether it did. It leaves a write without a subject to the later steps.
func (p *Proxy) supersede(rq *request) bool {
	if rq.treatment.Supersede == "" || rq.Method != http.MethodPost || rq.r.Header[keyHeader] != nil || rq.r.ContentLength > maxPulse {
		return false
	}
	body, whole, err := readStart(p.upload(rq), maxPulse)
	if err != nil {
		p.fail(rq, err)
		return true
	}
	subject, ok := bodyField(bytes.NewReader(body), subjectFields(rq.treatment.Supersede)...)
	if !whole || !ok {
		rq.r.Body = httpbody.Unread(body, rq.r.Body, nil)
		return false
	}
	pulse := p.join(rq, pulseKey{rq.tool.limiterTool.Name, rq.upstream.name, rq.r.URL.RequestURI(), subject}, body)
	select {
	case <-pulse.done:
		p.giveSuperseded(rq, pulse)
	case <-rq.r.Context().Done():
		pulse.leave()
		p.fail(rq, context.Cause(rq.r.Context()))
	}
	return true
}

// subjectFields returns the names that the field of a subject may have: v0 has chat where v1 has chatId.
func subjectFields(field string) []string {
	if field == "chatId" {
		return []string{"chatId", "chat"}
	}
	return []string{field}
}

// readStart reads at most most+1 bytes. whole reports that r has no more than most.
func readStart(r io.Reader, most int64) (body []byte, whole bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r, most+1))
	return body, int64(len(body)) <= most, err
}

// join makes rq the newest request of the queued pulse with this key, or begins a pulse.
func (p *Proxy) join(rq *request, key pulseKey, body []byte) *pulse {
	s := &p.pulses
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queued[key]; q != nil {
		q.newest, q.body = rq, body
		q.waiting++
		q.call.Favour(rq.caller())
		return q
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(rq.r.Context()))
	q := &pulse{of: s, key: key, call: rq.newCall(), done: make(chan struct{}), newest: rq, body: body, waiting: 1, cancel: cancel}
	q.call.newest = q.take
	if s.queued == nil {
		s.queued = make(map[pulseKey]*pulse)
	}
	s.queued[key] = q
	out := p.upstreamRequest(q.call.attach(ctx), rq.r)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	go p.send(q, rq.upstream.chain, out)
	return q
}

// send sends the pulse by way of the queue. Closing done hands the response to all its requests.
func (p *Proxy) send(q *pulse, chain http.RoundTripper, out *http.Request) {
	defer q.cancel()
	q.response, q.err = chain.RoundTrip(out)
	if q.err == nil {
		q.answer, _, q.err = readStart(q.response.Body, maxPulse)
		q.response.Body.Close()
		if q.err != nil {
			q.err = &transport.SendError{Err: q.err, Sent: true}
		}
	}
	q.end()
	close(q.done)
}

// take returns the body to send. From then on no request joins.
func (p *pulse) take() []byte {
	p.end()
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	return p.body
}

func (p *pulse) end() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.of.queued[p.key] == p {
		delete(p.of.queued, p.key)
	}
}

// leave removes a request whose tool has left. When all have left, the call is abandoned.
func (p *pulse) leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.waiting--; p.waiting > 0 {
		return
	}
	if p.of.queued[p.key] == p {
		delete(p.of.queued, p.key)
	}
	p.cancel()
}

// endTyping ends the queued typing pulse of a chat, because the same tool sends its message.
func (p *pulses) endTyping(rq *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, q := range p.queued {
		if key.tool == rq.tool.limiterTool.Name && key.upstream == rq.upstream.name && key.subject == rq.chat &&
			path.Base(key.target) == "chat.typing" {
			q.ended = true
			delete(p.queued, key)
			q.cancel()
		}
	}
}

// isEnded reports whether a message ended the pulse before it was sent.
func (p *pulse) isEnded() bool {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	return p.ended
}

// isNewest reports whether the body of this request was sent.
func (p *pulse) isNewest(rq *request) bool {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	return p.newest == rq
}

// giveSuperseded answers one request of a pulse.
func (p *Proxy) giveSuperseded(rq *request, q *pulse) {
	if q.isEnded() {
		p.giveEnded(rq)
		return
	}
	newest := q.isNewest(rq)
	if newest {
		rq.call = q.call
	} else {
		rq.Superseded = true
		rq.w.Header().Set(supersedeHeader, "yes")
	}
	if q.err != nil {
		p.fail(rq, q.err)
		return
	}
	rq.Status, rq.Code = q.response.StatusCode, Code(q.response.Header.Get("Roamproxy-Error"))
	if newest {
		rq.recordCall(q.call)
		p.invalidateAnswered(rq)
	}
	h := q.response.Header.Clone()
	cache.RemoveHopByHop(h)
	p.clean(h, rq)
	p.mark(h, rq, rq.forwarded())
	merge(rq.w.Header(), h)
	if canHaveBody(rq.Status) {
		rq.w.Header().Set("Content-Length", strconv.Itoa(len(q.answer)))
	}
	w := &toolWriter{ResponseWriter: rq.w}
	w.WriteHeader(rq.Status)
	if canHaveBody(rq.Status) {
		w.Write(q.answer)
	}
}

// giveEnded answers a pulse that a message ended.
func (p *Proxy) giveEnded(rq *request) {
	const body = `{"ok":true}`
	rq.Superseded, rq.Status = true, http.StatusOK
	h := rq.w.Header()
	h.Set(supersedeHeader, "yes")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	p.mark(h, rq, rq.forwarded())
	w := &toolWriter{ResponseWriter: rq.w}
	w.WriteHeader(rq.Status)
	io.WriteString(w, body)
}

// newestBody is the step that replaces the body of a pulse by the newest, just before the call is sent.
type newestBody struct{ next http.RoundTripper }

func (b *newestBody) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	if c == nil || c.newest == nil {
		return b.next.RoundTrip(req)
	}
	body := c.newest()
	req.Body.Close()
	out := req.Clone(req.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return b.next.RoundTrip(out)
}
