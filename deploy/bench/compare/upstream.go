package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"roamproxy/proxy/roamtest"
)

// upstream is a simulated Roam with the real quota on a socket, behind a network that loses answers.
type upstream struct {
	roam   *roamtest.Roam
	server *httptest.Server

	mu       sync.Mutex // guards the following
	calls    int
	met      map[string]bool // messages that have met their fault
	executed map[string]int  // how often each message was posted
}

// fault is what happens to a message, once.
type fault struct {
	executed bool // Roam posted it before
	meet     func(w http.ResponseWriter, r *http.Request)
}

// networkFaults returns the usual ways in which an answer is lost. The name is the first word of the message.
func networkFaults() map[string]fault {
	return map[string]fault{
		"reset":           {true, reset},
		"502":             {true, badGateway},
		"silence":         {true, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"cut":             {true, cut},
		"unexecuted-502":  {false, badGateway},
		"unexecuted-lost": {false, reset},
	}
}

func newUpstream(speed int) *upstream {
	scaled := func(d time.Duration) time.Duration { return d / time.Duration(speed) }
	u := &upstream{met: make(map[string]bool), executed: make(map[string]int)}
	u.roam = roamtest.New(roamtest.Options{Rate: float64(speed), RetryAfter: scaled(10 * time.Second), Latency: scaled(50 * time.Millisecond)})
	u.server = httptest.NewServer(u)
	return u
}

func (u *upstream) addr() string { return u.server.Listener.Addr().String() }

// close ends the server and the calls that are silent.
func (u *upstream) close() {
	u.server.CloseClientConnections()
	u.server.Close()
}

// messages returns n messages for each fault.
func messages(n int) (texts []string) {
	for i := range n {
		for _, name := range slices.Sorted(maps.Keys(networkFaults())) {
			texts = append(texts, fmt.Sprintf("%s %d", name, i))
		}
	}
	return texts
}

// ServeHTTP lets Roam answer, unless the call is a message that meets a fault.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.calls++
	u.mu.Unlock()
	if r.URL.Path != "/v1/chat.post" {
		u.roam.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the tool has left
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var message struct{ Text string }
	json.Unmarshal(body, &message)
	name, _, _ := strings.Cut(message.Text, " ")
	f, faulty := networkFaults()[name]
	if faulty && !f.executed && u.first(message.Text) {
		f.meet(w, r)
		return
	}
	answer := httptest.NewRecorder()
	u.roam.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK && answer.Body.Len() > 0 { // without a body the tool has left before Roam posted
		u.mu.Lock()
		u.executed[message.Text]++
		u.mu.Unlock()
		if faulty && f.executed && u.first(message.Text) {
			f.meet(w, r)
			return
		}
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// first reports whether a message meets its fault now.
func (u *upstream) first(text string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	first := !u.met[text]
	u.met[text] = true
	return first
}

// badGateway is what a load balancer answers when it loses the server behind it.
func badGateway(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	io.WriteString(w, "<h1>502 Bad Gateway</h1>")
}

// cut ends the connection in the midst of a good answer.
func cut(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "4096")
	io.WriteString(w, `{"ok":true,"timest`)
	http.NewResponseController(w).Flush()
	reset(w, r)
}

// reset ends the connection with a RST.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
