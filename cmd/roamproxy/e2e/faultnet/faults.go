package faultnet

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// AfterTaking passes one whole request on, waits for the first byte of its answer, drops that byte, and continues with then. The
// server has executed the call.
func (n *Net) AfterTaking(then Fault) Fault {
	return func(near, far *net.TCPConn) {
		if !n.request(bufio.NewReader(io.TeeReader(near, io.MultiWriter(far, n.record())))) {
			return
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			then(near, far)
		}
	}
}

// request reads one request to its end.
func (n *Net) request(in *bufio.Reader) bool {
	req, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// AfterSwallowing reads one request, passes nothing on, and continues with then.
func (n *Net) AfterSwallowing(then Fault) Fault {
	return func(near, far *net.TCPConn) {
		if n.request(bufio.NewReader(near)) {
			then(near, far)
		}
	}
}

// OnSecondCall passes one call and keeps its connection open; the next call on it meets then.
func (n *Net) OnSecondCall(then Fault) Fault {
	return func(near, far *net.TCPConn) {
		if !n.request(bufio.NewReader(io.TeeReader(near, io.MultiWriter(far, n.record())))) {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(io.TeeReader(far, near)), nil)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			then(near, far)
		}
	}
}

// AfterBytes passes size bytes of the answer and continues with then.
func (n *Net) AfterBytes(size int64, then Fault) Fault {
	return func(near, far *net.TCPConn) {
		if n.request(bufio.NewReader(io.TeeReader(near, io.MultiWriter(far, n.record())))) {
			deliver(near, io.LimitReader(far, size))
			then(near, far)
		}
	}
}

// Reset ends the connection with a RST.
func Reset(near, _ *net.TCPConn) { near.SetLinger(0) }

// Close closes the connection in order, but before the answer is complete.
func Close(near, _ *net.TCPConn) { near.CloseWrite(); deliver(io.Discard, near) }

// Stall sends nothing more and keeps the connection open.
func Stall(near, _ *net.TCPConn) { deliver(io.Discard, near) }

// Say answers raw and closes.
func Say(raw string) Fault {
	return func(near, far *net.TCPConn) {
		io.WriteString(near, raw)
		Close(near, far)
	}
}

// Repeat answers raw, then again without end, until the client is gone.
func Repeat(raw, again string) Fault {
	return func(near, _ *net.TCPConn) {
		_, err := io.WriteString(near, raw)
		for err == nil {
			_, err = io.WriteString(near, again)
		}
	}
}

// Drip answers raw byte by byte, with a pause after each.
func Drip(raw string, pause time.Duration) Fault {
	return func(near, _ *net.TCPConn) {
		(&slow{near, 1, pause}).Write([]byte(raw))
	}
}

// UpTo passes n bytes of what the client sends; then is what the client does next, with far and near exchanged.
func UpTo(n int64, then Fault) Fault {
	return func(near, far *net.TCPConn) {
		deliver(far, io.LimitReader(near, n))
		then(far, near)
	}
}

// DropAnswer passes what the client sends and no answer; then is what the client does next.
func DropAnswer(then Fault) Fault {
	return func(near, far *net.TCPConn) {
		go deliver(far, near)
		then(far, near)
	}
}

// HalfClose closes the sending side of a client and keeps reading. For UpTo and DropAnswer.
func HalfClose(far, near *net.TCPConn) {
	far.CloseWrite()
	var rest sync.WaitGroup
	rest.Go(func() { deliver(io.Discard, near) }) // unread data would cause a RST, which may overtake the answer
	deliver(near, far)
	near.CloseWrite()
	rest.Wait()
}

// Slices passes both directions in pieces of size bytes, with a pause after each.
func (n *Net) Slices(size int, pause time.Duration) Fault {
	return func(near, far *net.TCPConn) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			deliver(&slow{far, size, pause}, near)
			far.CloseWrite()
		}()
		deliver(&slow{near, size, pause}, far)
		near.CloseWrite()
		<-done
	}
}

// slow writes in pieces.
type slow struct {
	to    *net.TCPConn
	size  int
	pause time.Duration
}

func (s *slow) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		m := 0
		m, err = s.to.Write(p[:min(s.size, len(p))])
		p, n = p[m:], n+m
		time.Sleep(s.pause)
	}
	return n, err
}

// Reply returns a well-formed answer with these header lines, for faults to damage.
func Reply(header ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + `{"ok":true}`
}
