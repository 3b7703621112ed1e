package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/e2e/faultnet"
)

// What a library writes to Go's own logger is a line of JSON in roamproxy's log, without the bytes that Roam sent.
//
// Seen to fail without the capture of Go's logger (a line on stderr that is not JSON).
func TestEveryLineOfTheLogIsJSON(t *testing.T) {
	addr, unsolicited := startUnsolicited(t)
	r := launch(t, "http://"+addr, t.TempDir(), "ROAMPROXY_LOG_LEVEL=debug")
	get(t, client(t), r.base+"/v1/meeting.search")
	close(unsolicited)
	eventually(t, "the line of net/http", func() bool { return strings.Contains(r.said.String(), "Unsolicited") })
	r.Process.Kill()
	r.Wait()
	for line := range strings.Lines(r.said.String()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "marked") {
			t.Errorf("the log has %q, want JSON without the bytes of Roam", line)
		}
	}
}

// startUnsolicited starts a Roam that answers once on each connection, and once more without a request when unsolicited is closed. By then
// the first answer has arrived, so the second one belongs to no request.
func startUnsolicited(t *testing.T) (addr string, unsolicited chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	unsolicited = make(chan struct{})
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
					io.WriteString(conn, faultnet.Reply("Content-Length: 11"))
					<-unsolicited
					io.WriteString(conn, faultnet.Reply("X: marked", "Content-Length: 11"))
					io.Copy(io.Discard, in)
				}
			}()
		}
	}()
	return l.Addr().String(), unsolicited
}
