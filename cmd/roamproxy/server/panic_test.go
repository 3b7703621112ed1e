package server_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// A panic on the way to Roam costs one call its answer, and no other call anything. The log has its place and no secret, the slot is
// released, and the next calls are answered.
//
// Seen to fail with net/http's own log line, with the value of a panic in a fill's error, and with a slot that was not released.
func TestAPanicShowsNoSecret(t *testing.T) {
	const secret = "rmk-marked-api-key"
	var log, out servertest.Buffer
	r, roam := servertest.Start(t, roamtest.Options{Rate: 1000, Burst: 1000, Keys: []string{secret}}, &log, func(c *config.Config) {
		c.Log = config.Log{Level: "debug", Format: "json"}
		c.Upstream.MaxInFlight = 1
		c.Credentials[0].APIKey = credential.NewSecret(secret)
	})
	r.WrapProxy(func(direct func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
		return func(req *http.Request) (*url.URL, error) {
			if req.Header.Get("User-Agent") == "stumble" {
				panic(fmt.Sprintf("a request with %v\ngoroutine 1 [running]: %v", req.Header, req.Header))
			}
			return direct(req)
		}
	})
	call := func(agent, request string) {
		conn, err := net.Dial("tcp", r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, request+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: "+agent+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		io.Copy(&out, conn)
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
	if s := r.QueueState("roam"); s.InFlight != 0 {
		t.Errorf("%d slots are taken", s.InFlight)
	}
	for _, want := range []string{"roamproxy panicked", "panic_test.go", "panicked with a string at panic_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for where, text := range map[string]string{"the log": log.String(), "an answer": out.String()} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) || len(text) < 1000 {
			t.Errorf("%s shows the secret, or has nothing: %s", where, text)
		}
	}
}
