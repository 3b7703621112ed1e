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

// Whatever a library says to Go's own logger is a line of ours, in JSON, without the bytes of whoever spoke.
//
// Seen to fail without Go's logger being overheard (a line that is no JSON, on the standard error output).
func TestTheLogIsJSONAlone(t *testing.T) {
	addr, unasked := speaksUnasked(t)
	r := launch(t, "http://"+addr, t.TempDir(), "ROAMPROXY_LOG_LEVEL=debug")
	get(t, client(t), r.base+"/v1/meeting.search")
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
					io.WriteString(conn, faultnet.Reply("Content-Length: 11"))
					<-unasked
					io.WriteString(conn, faultnet.Reply("X: whoever", "Content-Length: 11"))
					io.Copy(io.Discard, in)
				}
			}()
		}
	}()
	return l.Addr().String(), unasked
}
