package proxy

import (
	"io"
	"net/http"
	"time"
)

// streamed hands everything else through. httputil.ReverseProxy would do so too, and take 1 KiB of stack, for which a call that waits would
// need 4 KiB more (BenchmarkWaiting), and copies of request and header fields.
func (p *Proxy) streamed(v *visit) {
	if p.isWrite(v) && p.repeated(v) {
		return
	}
	defer v.closeWrite()
	out := p.departing(v)
	early := &interim{p: p, v: v}
	v.journey.Interim = early.pass
	res, err := v.lane.exchange.RoundTrip(out)
	early.end()
	if err != nil {
		v.failedWrite(err)
		p.fail(v, err)
		return
	}
	if v.write != nil {
		v.write.Answered(res)
	}
	p.pass(v, res)
}

// departing is the visit's request as it goes to Roam, on a journey of its own.
func (p *Proxy) departing(v *visit) *http.Request {
	j, ctx := v.depart(v.r.Context())
	v.journey = j
	out := p.outgoing(ctx, v.r)
	switch {
	case v.body != nil:
		out.Body, out.ContentLength = v.body, v.body.Size()
	case out.ContentLength == 0 || v.r.Method == http.MethodGet || v.r.Method == http.MethodHead: // a body of these has no meaning (RFC 9110, section 9.3.1)
		out.Body, out.ContentLength = nil, 0
	default:
		out.Body = p.upload(v)
	}
	return out
}

// upload is the tool's body, bounded in size and in time.
func (p *Proxy) upload(v *visit) io.ReadCloser {
	return &upload{ReadCloser: http.MaxBytesReader(v.w, v.r.Body, p.o.MaxBody), controller: http.NewResponseController(v.w)}
}

// pass hands Roam's answer to the tool.
func (p *Proxy) pass(v *visit, res *http.Response) {
	v.Status, v.Code = res.StatusCode, res.Header.Get("Roamproxy-Error")
	v.learn(v.journey)
	p.settle(v)
	h := v.w.Header()
	RemoveHopByHop(res.Header)
	p.hand(h, res.Header, v)
	p.mark(h, v, v.forwarded())
	if c := connectionOf(v.r); c != nil && res.ContentLength <= copied {
		c.join(int(res.ContentLength))
		defer c.part()
	}
	v.relay(res.Body, res.ContentLength)
}

// copied is how much of an answer net/http copies at a time, so that it comes in one write as a rule.
const copied = 32 << 10

// relay sends an answer whose header is complete, and closes its body. An answer that breaks off does so for the tool too: it must
// not look whole.
func (v *visit) relay(body io.ReadCloser, length int64) {
	defer body.Close()
	v.w.WriteHeader(v.Status)
	if _, err := io.Copy(v.w, &download{Reader: body, controller: http.NewResponseController(v.w), endless: length < 0}); err != nil {
		v.Err = err
		panic(http.ErrAbortHandler)
	}
}

// upload is a tool's body: bounded in size, and in time.
type upload struct {
	io.ReadCloser
	controller *http.ResponseController
	pace       pace
}

func (u *upload) Read(p []byte) (int, error) {
	begun := time.Now()
	u.controller.SetReadDeadline(u.pace.deadline(begun))
	n, err := u.ReadCloser.Read(p)
	u.pace.bytes, u.pace.spent = u.pace.bytes+int64(n), u.pace.spent+time.Since(begun)
	if err == io.EOF { // after any other error net/http reads on, to see whether the rest is worth the connection
		u.controller.SetReadDeadline(time.Time{}) // or net/http would take the deadline for the tool leaving
	}
	return n, err
}

// download is Roam's body on its way to a tool, which may take its time but not for ever. What passes between two reads is the
// tool's time; what a read takes is Roam's.
type download struct {
	io.Reader
	controller *http.ResponseController
	endless    bool // its length is not known, such as an export's: what has come is sent on before more is waited for
	pace       pace
	handed     time.Time // when the tool got the last piece
}

func (d *download) Read(p []byte) (int, error) {
	if d.endless {
		d.controller.Flush()
	}
	if !d.handed.IsZero() {
		d.pace.spent += time.Since(d.handed)
	}
	n, err := d.Reader.Read(p)
	d.handed = time.Now()
	d.pace.bytes += int64(n)
	d.controller.SetWriteDeadline(d.pace.deadline(d.handed))
	return n, err
}

// patience is how long a tool may make no progress, with its body or in reading its answer.
const patience = 30 * time.Second

// leastPace is how fast a tool must send and read at least, over the whole of a body and besides its patience, in bytes a second:
// half a megabit. A tool that reads an answer drop by drop holds a slot of everybody's.
const leastPace = 64 << 10

// pace measures a tool's own share of the time that a body takes.
type pace struct {
	bytes int64
	spent time.Duration
}

// deadline is until when the tool must have taken or sent the next piece.
func (p *pace) deadline(now time.Time) time.Time {
	allowed := patience + time.Duration(p.bytes/leastPace)*time.Second - p.spent
	return now.Add(min(allowed, patience))
}
