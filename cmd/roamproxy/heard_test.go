package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// A fault of ours on the way to Roam, whose text repeats everything that it had in its hands, costs the call its answer and nobody
// else anything: the log tells where it was without showing the secret, no slot is lost, and the next calls go.
//
// Seen to fail with net/http's own words in the log, with the value of a fill's panic in its error, and with a slot that is not
// freed.
func TestAPanicShowsNoSecret(t *testing.T) {
	var said everything
	r, roam := serving(t, roamtest.Options{Rate: 1000, Burst: 1000, Keys: []string{marks()[0]}}, &said, func(c *config.Config) {
		c.Log = config.Log{Level: "debug", Format: "json"}
		c.Upstream.MaxInFlight = 1
		c.Credentials[0].APIKey = credential.NewSecret(marks()[0])
	})
	base := r.current().base
	direct := base.Proxy
	base.Proxy = func(req *http.Request) (*url.URL, error) { // the last step that sees the whole request
		if req.Header.Get("User-Agent") == "stumble" {
			panic(fmt.Sprintf("a request with %v\ngoroutine 1 [running]: %v", req.Header, req.Header))
		}
		return direct(req)
	}
	var out everything
	call := func(agent, request string) {
		out.raw(r.addr, request+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: "+agent+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
	for range 2 { // with one slot
		for _, request := range []string{"POST /v1/chat.post", "GET /v1/user.list", "GET /v1/token.info"} {
			call("stumble", request)
		}
	}
	if n := roam.Calls(); n != 0 {
		t.Errorf("Roam saw %d calls, want none", n)
	}
	call("walk", "GET /v1/user.list?limit=100")
	if !strings.Contains(out.String(), "HTTP/1.1 200 OK") {
		t.Errorf("the next call: %s", out.String())
	}
	if s := r.queues()["roam"].State(); s.InFlight != 0 {
		t.Errorf("%d slots are taken", s.InFlight)
	}
	for _, want := range []string{"a fault of roamproxy's own", "heard_test.go", "panicked with a string at heard_test.go"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	said.grep(t, "the log")
	out.grep(t, "an answer")
}

// Whatever a library says to Go's own logger is a line of ours, in JSON, without the bytes of whoever spoke.
//
// Seen to fail without Go's logger being overheard (a line that is no JSON, on the standard error output).
func TestTheLogIsJSONAlone(t *testing.T) {
	addr, unasked := speaksUnasked(t)
	r := launch(t, "http://"+addr, t.TempDir(), "ROAMPROXY_LOG_LEVEL=debug")
	get(t, client(t), r.base+"/v1/token.info")
	close(unasked)
	eventually(t, "what net/http says", func() bool { return strings.Contains(r.said.String(), "Unsolicited") })
	r.Process.Kill()
	r.Wait()
	for line := range strings.Lines(r.said.String()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "whoever") {
			t.Errorf("the log has %q", line)
		}
	}
}

// speaksUnasked is a Roam that answers once on a connection, and again, without having been asked, when unasked is closed. That the
// first answer has arrived by then makes the second one nobody's.
func speaksUnasked(t *testing.T) (addr string, unasked chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	unasked = make(chan struct{})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				if _, err := http.ReadRequest(in); err == nil {
					io.WriteString(conn, reply("Content-Length: 11"))
					<-unasked
					io.WriteString(conn, reply("X: whoever", "Content-Length: 11"))
					io.Copy(io.Discard, in)
				}
			}()
		}
	}()
	return l.Addr().String(), unasked
}

func TestWhatIsHeard(t *testing.T) {
	for _, tt := range []struct{ name, said, level, want string }{
		{"a connection", `Unsolicited response received on idle HTTP channel starting with "HTTP/1.1 200 marked"; err=<nil>`, "debug", "Unsolicited response received on idle HTTP channel starting with "},
		{"a handshake", "http: TLS handshake error from 127.0.0.1:1: EOF", "debug", "http: TLS handshake error from 127.0.0.1:1: EOF"},
		{"a panic", "http: panic serving [::1]:4: marked\ngoroutine 1 marked\n\ngoroutine 7 [running]:\nnet/http.x()\n", "error", `"stack":"goroutine 7 [running]:\nnet/http.x()"`},
		{"a panic without a stack", "http: panic serving @: marked", "error", `"stack":""`},
	} {
		var out lockedBuffer
		stdlog.New(heard{newLog(config.Log{Level: "debug", Format: "json"}, &out).Logger}, "", 0).Print(tt.said)
		if got := out.String(); strings.Contains(got, "marked") || !strings.Contains(got, tt.want) || !strings.Contains(got, `"level":"`+tt.level+`"`) {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}
