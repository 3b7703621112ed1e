package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/e2e/faultnet"
	"roamproxy/proxy/roamtest"
)

// Whatever the network between roamproxy and Roam does: the tool is told what is true, in time; what was sent is counted;
// nothing stays behind; and the next call works.
//
// Seen to fail with a GET's body left to net/http, which sends it again by itself when a kept connection ends (3 calls, 2
// counted), with answers of a status below 200 handed on (a slot that is never free again).
func TestFaultsBehindRoamproxy(t *testing.T) {
	p := newRoad(t, nil)
	b := p.behind
	const write, read = "POST /v1/chat.post", "GET /v1/user.list?limit=100"
	for _, tt := range []struct {
		name    string
		trouble faultnet.Fault
		call    string
		want    string
		calls   int // that Roam sees
		lost    int // sent into a network that loses them: they are counted as sent, or not
	}{
		{"a slow network", b.Slices(1000, 2*time.Millisecond), read, "200", 1, 0},
		{"a network that hands on by the byte", b.Slices(1, 0), write, "200", 1, 0},

		{"a reset at once", faultnet.Reset, write, "502 perhaps sent or 502 not sent", 0, 1}, // as the connection was ready already, or not
		{"a reset before Roam has a write", b.AfterSwallowing(faultnet.Reset), write, "502 perhaps sent", 0, 1},
		{"a reset before Roam has a read", b.AfterSwallowing(faultnet.Reset), read, "200", 1, 1},
		{"a reset when Roam has a write", b.AfterTaking(faultnet.Reset), write, "502 perhaps sent", 1, 0},
		{"a reset when Roam has a read", b.AfterTaking(faultnet.Reset), read, "200", 2, 0},
		{"a reset in the status line", b.AfterBytes(5, faultnet.Reset), write, "502 perhaps sent", 1, 0},
		{"a reset in the status line of a read, whose answer had begun", b.AfterBytes(5, faultnet.Reset), read, "502 perhaps sent", 1, 0},
		{"a reset in the header", b.AfterBytes(40, faultnet.Reset), read, "502 perhaps sent", 1, 0},
		{"a reset in the body", b.AfterBytes(1000, faultnet.Reset), read, "502 perhaps sent", 1, 0},
		{"a kept connection that ends under a write", b.OnSecondCall(b.AfterTaking(b.Counting(faultnet.Reset))), "twice " + write, "502 perhaps sent", 2, 0},
		{"a kept connection that ends under a read", b.OnSecondCall(b.AfterTaking(b.Counting(faultnet.Reset))), "twice " + read, "200", 3, 0},
		{"a kept connection that Roam closes", b.OnSecondCall(b.Counting(faultnet.Close)), "twice " + read, "200", 2, 1},
		{"a close when Roam has a write", b.AfterTaking(faultnet.Close), write, "502 perhaps sent", 1, 0},
		{"a close when Roam has a read", b.AfterTaking(faultnet.Close), read, "200", 2, 0},
		{"a close in the body", b.AfterBytes(1000, faultnet.Close), read, "502 perhaps sent", 1, 0},
		{"a close in the body of a write", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: 100"))), write, "200 cut or nothing", 1, 0},

		{"a stall before Roam has it", faultnet.Stall, write, "504 perhaps sent", 0, 1},
		{"a stall in a large upload", func(near, far *net.TCPConn) { near.Read(make([]byte, 1)); <-time.After(3 * time.Second) }, "POST /v1/item.upload", "504 perhaps sent", 0, 1},
		{"a stall when Roam has it", b.AfterTaking(faultnet.Stall), write, "504 perhaps sent", 1, 0},
		{"a stall when Roam has a read", b.AfterTaking(faultnet.Stall), read, "504 perhaps sent", 1, 0},
		{"a stall in the header", b.AfterBytes(40, faultnet.Stall), read, "504 perhaps sent", 1, 0},
		{"a stall in the body", b.AfterBytes(1000, faultnet.Stall), read, "504 perhaps sent", 1, 0},
		{"a stall in the body of a write", b.AfterTaking(func(near, far *net.TCPConn) {
			io.WriteString(near, faultnet.Reply("Content-Length: 100"))
			faultnet.Stall(near, far)
		}), write, "200 cut or nothing", 1, 0},
		{"a header that drips for ever", b.AfterTaking(faultnet.Drip("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 1000), 20*time.Millisecond)), read, "504 perhaps sent", 1, 0},

		{"both a length and chunks", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: 11", "Transfer-Encoding: chunked"))), write, "200 cut or nothing", 1, 0},
		{"two lengths", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: 11", "Content-Length: 5"))), write, "502 perhaps sent", 1, 0},
		{"two equal lengths", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: 11", "Content-Length: 11"))), write, "200", 1, 0},
		{"a negative length", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: -1"))), write, "502 perhaps sent", 1, 0},
		{"a length with a sign", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: +11"))), write, "502 perhaps sent", 1, 0},
		{"no length at all", b.AfterTaking(faultnet.Say(faultnet.Reply("Connection: close"))), write, "200", 1, 0},
		{"an unknown coding", b.AfterTaking(faultnet.Say(faultnet.Reply("Transfer-Encoding: xchunked"))), write, "502 perhaps sent", 1, 0},
		{"chunks that are none", b.AfterTaking(faultnet.Say(faultnet.Reply("Transfer-Encoding: chunked"))), read, "502 perhaps sent", 1, 0},
		{"chunks with a trailer", b.AfterTaking(faultnet.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\nAuthorization: x\r\n\r\n")), write, "200", 1, 0},
		{"chunks without an end", b.AfterTaking(faultnet.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n")), read, "502 perhaps sent", 1, 0},
		{"a header of a megabyte", b.AfterTaking(faultnet.Say(faultnet.Reply("X: " + strings.Repeat("x", 1<<20)))), read, "502 perhaps sent", 1, 0},
		{"fields without end", b.AfterTaking(faultnet.Repeat("HTTP/1.1 200 OK\r\n", "X: y\r\n")), read, "502 perhaps sent", 1, 0},
		{"a NUL in a field", b.AfterTaking(faultnet.Say(faultnet.Reply("X: a\x00b"))), write, "502 perhaps sent", 1, 0},
		{"a field over two lines", b.AfterTaking(faultnet.Say(faultnet.Reply("X: a\r\n b", "Content-Length: 11"))), write, "200", 1, 0},
		{"lines that end in LF", b.AfterTaking(faultnet.Say(strings.ReplaceAll(faultnet.Reply("Content-Length: 11"), "\r", ""))), write, "200", 1, 0},
		{"something else than HTTP", b.AfterTaking(faultnet.Say("220 mail.example ESMTP\r\n")), write, "502 perhaps sent", 1, 0},
		{"a status of four figures", b.AfterTaking(faultnet.Say("HTTP/1.1 2000 OK\r\n\r\n")), write, "502 perhaps sent", 1, 0},
		{"status zero", b.AfterTaking(faultnet.Say("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n")), write, "502 perhaps sent", 1, 0},
		{"early hints", b.AfterTaking(faultnet.Say("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + faultnet.Reply("Content-Length: 11"))), write, "200", 1, 0},
		{"interim answers without end", b.AfterTaking(faultnet.Repeat("", "HTTP/1.1 102 Processing\r\n\r\n")), write, "504 perhaps sent", 1, 0},
		{"interim answers to a read, without end", b.AfterTaking(faultnet.Repeat("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")), read, "504 perhaps sent", 1, 0},
		{"a change of protocols that nobody asked for", b.AfterTaking(faultnet.Say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")), write, "502 perhaps sent", 1, 0},
		{"204 with a body", b.AfterTaking(faultnet.Say("HTTP/1.1 204 No Content\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")), write, "204", 1, 0},
		{"a body after a HEAD", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: 11"))), "HEAD /v1/user.list?limit=100", "200", 1, 0},
		{"an encoding that it is not", b.AfterTaking(faultnet.Say(faultnet.Reply("Content-Length: 11", "Content-Encoding: gzip"))), write, "200", 1, 0},
		{"a list of 20 MB", b.AfterTaking(faultnet.Say("HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n" + strings.Repeat("x", 20<<20))), read, "200", 1, 0},
		{"a body without end", b.AfterTaking(faultnet.Repeat("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16))), write, "200 endless", 1, 0},
		{"a list without end", b.AfterTaking(faultnet.Repeat("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16))), read, "200 endless", 1, 0},
	} {
		call, twice := strings.CutPrefix(tt.call, "twice ")
		method, target, _ := strings.Cut(call, " ")
		body := ""
		if strings.HasSuffix(target, "upload") {
			body = strings.Repeat("x", 10<<20)
		}
		var calls, sends int
		var got string
		start := time.Now()
		for range 10 {
			unique := target
			if method != "POST" {
				unique += "&for=" + strconv.Itoa(p.roam.Calls()) // or an earlier answer would do
			}
			calls, sends = p.roam.Calls(), p.sends()
			b.Next(tt.trouble)
			noted := b.Counted()
			if twice {
				if got := p.call("POST", "/v1/chat.post", ""); got != "200" {
					t.Errorf("%s: the first call: %s", tt.name, got)
				}
			}
			got = p.call(method, unique, body)
			if !twice || b.Counted() > noted {
				break
			}
			p.quiet() // and once more: net/http had not kept the connection yet when the second call came
		}
		if !slices.Contains(strings.Split(tt.want, " or "), got) {
			t.Errorf("%s: the tool got %s after %v, want %s", tt.name, got, time.Since(start), tt.want)
		}
		p.settled(tt.name, calls, sends, tt.calls, tt.lost)
	}
}

// Whatever the network between a tool and roamproxy does: what did not come whole is not sent, who leaves is waited for by
// nobody, and the next call works.
//
// Seen to fail with calls that go on without their tool.
func TestFaultsBeforeRoamproxy(t *testing.T) {
	p := newRoad(t, nil)
	const write, upload = "POST /v1/chat.post", "POST /v1/item.upload"
	var calls int
	away := func(far, _ *net.TCPConn) { // once Roam has the call
		p.until("Roam has the call", func() (string, bool) { return "no", p.roam.Calls() > calls })
		faultnet.Reset(far, nil)
	}
	for _, tt := range []struct {
		name    string
		trouble faultnet.Fault
		call    string
		roam    roamtest.Fault
		want    string
		calls   int
	}{
		{"a tool that sends by the byte", p.before.Slices(1, 0), write, roamtest.Delay(0), "200", 1},
		{"a reset in the header", faultnet.UpTo(20, faultnet.Reset), write, roamtest.Delay(0), "nothing", 0},
		{"a close in the header", faultnet.UpTo(20, faultnet.HalfClose), write, roamtest.Delay(0), "400 or 400 cut or nothing", 0},
		{"a header that comes by drops", p.before.Slices(1, 20*time.Millisecond), write, roamtest.Delay(0), "nothing", 0},
		{"a reset in the body", faultnet.UpTo(100_000, faultnet.Reset), upload, roamtest.Delay(0), "nothing", 0},
		{"a close in the body", faultnet.UpTo(100_000, faultnet.HalfClose), upload, roamtest.Delay(0), "400 not sent", 0},
		{"a reset while Roam works", faultnet.DropAnswer(away), write, roamtest.Delay(time.Second), "nothing", 1},
		{"a reset in the pause that Roam asked for", faultnet.DropAnswer(away), write, roamtest.Throttle("1"), "nothing", 1},
		{"a tool that does not read, and leaves", faultnet.DropAnswer(away), write, roamtest.Status(200, strings.Repeat("x", 20<<20)), "nothing", 1},
	} {
		method, target, _ := strings.Cut(tt.call, " ")
		body := ""
		if tt.call == upload {
			body = strings.Repeat("x", 1<<20)
		}
		calls = p.roam.Calls()
		sends := p.sends()
		if tt.calls > 0 {
			p.roam.Script(tt.roam)
		}
		p.before.Next(tt.trouble)
		if got := p.call(method, target, body); !slices.Contains(strings.Split(tt.want, " or "), got) {
			t.Errorf("%s: the tool got %s, want %s", tt.name, got, tt.want)
		}
		p.settled(tt.name, calls, sends, tt.calls, 0)
	}
}

// Where there is no Roam, or somebody else in its place, nothing is sent.
//
// Seen to fail with certificates taken on trust.
func TestFaultsBeforeAConnection(t *testing.T) {
	stranger := httptest.NewTLSServer(nil)
	defer stranger.Close()
	shakes := func(most uint16) faultnet.Fault {
		return func(near, _ *net.TCPConn) {
			tls.Server(near, &tls.Config{Certificates: stranger.TLS.Certificates, MaxVersion: most}).Handshake()
		}
	}
	secure := func(c *config.Config) { c.Upstream.URL = strings.Replace(c.Upstream.URL, "http:", "https:", 1) }
	for _, tt := range []struct {
		name    string
		trouble faultnet.Fault
		change  func(*config.Config)
		want    string
	}{
		{"a name that does not exist", nil, func(c *config.Config) { c.Upstream.URL = "https://nowhere.invalid" }, "502 not sent or 504 not sent"},
		{"nobody listens", nil, func(c *config.Config) { c.Upstream.URL = "http://127.0.0.1:1" }, "502 not sent"},
		{"somebody who does not speak TLS", faultnet.Say("HTTP/1.1 400 Bad Request\r\n\r\n"), secure, "502 not sent"},
		{"a certificate that nobody vouches for", shakes(0), secure, "502 not sent"},
		{"a TLS that is too old", shakes(tls.VersionTLS11), secure, "502 not sent"},
		{"an alert of TLS", faultnet.Say("\x15\x03\x01\x00\x02\x02\x28"), secure, "502 not sent"},
		{"a handshake that stalls", faultnet.Stall, secure, "504 not sent"},
	} {
		p := newRoad(t, tt.change)
		calls, sends := p.roam.Calls(), p.sends()
		for _, method := range []string{"POST", "GET"} {
			p.behind.Next(tt.trouble)
			if got := p.call(method, "/v1/meeting.search", ""); !slices.Contains(strings.Split(tt.want, " or "), got) {
				t.Errorf("%s: the tool got %s for a %s, want %s", tt.name, got, method, tt.want)
			}
		}
		p.clean(tt.name)
		if p.roam.Calls() != calls || p.sends() != sends {
			t.Errorf("%s: Roam saw %d calls and %d were counted, want none", tt.name, p.roam.Calls()-calls, p.sends()-sends)
		}
	}
}

// A connection for every call that may be under way is kept for the next. Seen to fail with net/http's own two a host.
func TestTheConnectionsOfABurstAreKept(t *testing.T) {
	p := newRoad(t, nil)
	var all []faultnet.Fault
	for range 10 {
		all = append(all, func(near, far *net.TCPConn) {
			for p.behind.Connections() < 10 { // nobody is answered before all have come
				<-time.After(time.Millisecond)
			}
			p.behind.Pass(near, far)
		})
	}
	p.behind.Next(all...)
	floods(t, client(t), "http://"+p.r.Addr, 10)
	if n := p.behind.Connections(); n != 10 {
		t.Errorf("after 10 calls at once %d connections are there, want 10", n)
	}
}
