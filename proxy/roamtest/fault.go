package roamtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"time"
)

// Fault is what happens to a scripted call instead of its answer. The functions below return faults. On limits a fault to some calls, and
// Times applies it to several.
type Fault struct {
	match  string // METHOD path, as path.Match has it; empty: every call
	times  int
	spends bool
	meet   func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call)
}

// On limits the fault to calls that match a pattern of path.Match such as "GET /v1/*.list".
func (f Fault) On(pattern string) Fault { f.match = pattern; return f }

// Times applies the fault to the next n calls, in place of one.
func (f Fault) Times(n int) Fault { f.times = n; return f }

// Script adds faults. Each call gets the first fault that matches it and is not used up.
func (r *Roam) Script(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range faults {
		f.times = max(f.times, 1)
		r.faults = append(r.faults, &f)
	}
}

func (r *Roam) fault(req *http.Request, entry *Call) *Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.faults {
		if ok, _ := path.Match(f.match, req.Method+" "+req.URL.EscapedPath()); f.match != "" && !ok {
			continue
		}
		if f.times--; f.times == 0 {
			r.faults = append(r.faults[:i:i], r.faults[i+1:]...)
		}
		entry.Scripted = true
		return f
	}
	return nil
}

// Throttle answers 429 although there may be tokens, with these values of Retry-After, or with none. It spends nothing.
func Throttle(retryAfter ...string) Fault {
	return Fault{meet: func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call) {
		for _, v := range retryAfter {
			w.Header().Add("Retry-After", v)
		}
		r.fail(w, req, entry, http.StatusTooManyRequests, "ratelimited", "You are making requests too quickly. Please slow down.")
	}}
}

// Status answers with this status, body and header fields (name, value, name, value).
func Status(code int, body string, header ...string) Fault {
	return Fault{spends: true, meet: func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		r.status(entry, code)
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}}
}

// Delay answers as usual, after d.
func Delay(d time.Duration) Fault {
	return Fault{spends: true, meet: func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call) {
		if pause(req, d) {
			key, _ := bearer(req)
			r.answer(w, req, entry, key)
		}
	}}
}

// Hang accepts the call and does not answer before the caller leaves.
func Hang() Fault {
	return Fault{spends: true, meet: func(_ *Roam, w http.ResponseWriter, req *http.Request, _ *Call) {
		io.Copy(io.Discard, req.Body) // net/http watches for the caller's leaving only then
		<-req.Context().Done()
		reset(w)
	}}
}

// ResetBefore accepts the call and ends the connection before the first byte of an answer.
func ResetBefore() Fault {
	return Fault{spends: true, meet: func(_ *Roam, w http.ResponseWriter, _ *http.Request, _ *Call) { reset(w) }}
}

// ResetAfterHeaders ends the connection between the header of a 200 answer and its body.
func ResetAfterHeaders() Fault { return partial("") }

// ResetInBody ends the connection in the middle of the body of a 200 answer.
func ResetInBody() Fault { return partial(`{"ok":true,"us`) }

// Truncate announces a longer body than it sends, and then closes the connection in the regular way.
func Truncate() Fault {
	return Fault{spends: true, meet: func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call) {
		r.status(entry, http.StatusOK)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "4096")
		fmt.Fprint(w, `{"ok":true,"users":[`)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}
}

// SlowBody sends a whole JSON body with this pause after each of its ten pieces.
func SlowBody(step time.Duration) Fault {
	return Fault{spends: true, meet: func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call) {
		r.status(entry, http.StatusOK)
		w.Header().Set("Content-Type", "application/json")
		piece := `{"ok":true,"slow":[0`
		for i := range 10 {
			fmt.Fprint(w, piece)
			http.NewResponseController(w).Flush()
			if !pause(req, step) {
				reset(w)
				return
			}
			piece = fmt.Sprintf(",%d", i+1)
		}
		fmt.Fprint(w, `]}`)
	}}
}

func partial(body string) Fault {
	return Fault{spends: true, meet: func(r *Roam, w http.ResponseWriter, req *http.Request, entry *Call) {
		r.status(entry, http.StatusOK)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "4096")
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, body)
		http.NewResponseController(w).Flush()
		reset(w)
	}}
}

// pause waits with a timer that has no channel: those crash the race detector when many of them end at the same simulated
// moment (golang/go issue 78156).
func pause(req *http.Request, d time.Duration) bool {
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-req.Context().Done():
		return false
	}
}

// reset ends the connection with a RST where there is a socket, and as a broken one where there is none.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
