package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// takes reads a request, hands it to Roam whole, waits for the first byte of the answer, which it keeps to itself, and goes on
// with then: what comes is Roam's word no more, but Roam has the call.
func (b *between) takes(then trouble) trouble {
	return func(near, far *net.TCPConn) {
		if !b.request(bufio.NewReader(io.TeeReader(near, io.MultiWriter(far, b)))) {
			return
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			then(near, far)
		}
	}
}

// request reads one request to its end.
func (b *between) request(in *bufio.Reader) bool {
	req, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// swallows reads a request, of which Roam sees nothing.
func (b *between) swallows(then trouble) trouble {
	return func(near, far *net.TCPConn) {
		if b.request(bufio.NewReader(near)) {
			then(near, far)
		}
	}
}

// second lets one call pass and its connection stay; the next one meets the trouble.
func (b *between) second(then trouble) trouble {
	return func(near, far *net.TCPConn) {
		if !b.request(bufio.NewReader(io.TeeReader(near, io.MultiWriter(far, b)))) {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(io.TeeReader(far, near)), nil)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			then(near, far)
		}
	}
}

// after hands on so many bytes of the answer.
func (b *between) after(n int64, then trouble) trouble {
	return func(near, far *net.TCPConn) {
		if b.request(bufio.NewReader(io.TeeReader(near, io.MultiWriter(far, b)))) {
			deliver(near, io.LimitReader(far, n))
			then(near, far)
		}
	}
}

// resets ends the connection with a RST.
func resets(near, _ *net.TCPConn) { near.SetLinger(0) }

// closes ends the connection in all form, and far too early.
func closes(near, _ *net.TCPConn) { near.CloseWrite(); deliver(io.Discard, near) }

// stalls says nothing more.
func stalls(near, _ *net.TCPConn) { deliver(io.Discard, near) }

// says says this and then closes.
func says(raw string) trouble {
	return func(near, far *net.TCPConn) {
		io.WriteString(near, raw)
		closes(near, far)
	}
}

// goesOn says this, and then the other again and again until nobody listens.
func goesOn(raw, again string) trouble {
	return func(near, _ *net.TCPConn) {
		_, err := io.WriteString(near, raw)
		for err == nil {
			_, err = io.WriteString(near, again)
		}
	}
}

// drips says this by the byte.
func drips(raw string, pause time.Duration) trouble {
	return func(near, _ *net.TCPConn) {
		(&slow{near, 1, pause}).Write([]byte(raw))
	}
}

// upTo hands on so many bytes of what a tool sends; then is what the tool does next, from its side.
func upTo(n int64, then trouble) trouble {
	return func(near, far *net.TCPConn) {
		deliver(far, io.LimitReader(near, n))
		then(far, near)
	}
}

// unheard hands on what a tool sends, but no answer.
func unheard(then trouble) trouble {
	return func(near, far *net.TCPConn) {
		go deliver(far, near)
		then(far, near)
	}
}

// halfCloses says that no more will come, and listens.
func halfCloses(far, near *net.TCPConn) {
	far.CloseWrite()
	var rest sync.WaitGroup
	rest.Go(func() { deliver(io.Discard, near) }) // or what it still sends would be answered with a RST, which may overtake the answer
	deliver(near, far)
	near.CloseWrite()
	rest.Wait()
}

// slices hands on by pieces of so many bytes, with a pause after each.
func (b *between) slices(size int, pause time.Duration) trouble {
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

// reply is a well-formed answer, to be spoiled.
func reply(header ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + `{"ok":true}`
}
