package e2e

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// callerScript posts messages at once, under no name or under several, by requests on TCP or by http.client on a Unix socket. It names
// itself only in the query, which is for the test.
const callerScript = `
import http.client, os, socket, sys, threading
target, count, names = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
path = "/v1/chat.post?by=" + os.path.basename(sys.argv[0])
def by_socket(headers):
    c = http.client.HTTPConnection("localhost"); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(target)
    c.request("POST", path, '{"chat":"C-1"}', headers); return c.getresponse().status
def by_requests(headers):
    import requests
    return requests.post(target + path, json={"chat": "C-1"}, headers=headers).status_code
def call(i):
    headers = {"Roamproxy-Tool": "name-%d" % (i % names)} if names else {}
    try: print(by_socket(headers) if target.startswith("/") else by_requests(headers), flush=True)
    except Exception as e: print(e, flush=True)
threads = [threading.Thread(target=call, args=[i], daemon=True) for i in range(count)]
for t in threads: t.start()
for t in threads: t.join()
`

// pythonScript writes callerScript to a file of this name.
func pythonScript(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(callerScript), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startScript starts a script that makes so many calls at once, under so many names. wait returns its output when it has ended.
func startScript(t *testing.T, file, target, calls, names string) (wait func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, redistest.Program(t, "/usr/bin/python3"), file, target, calls, names)
	var out servertest.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(func() { cmd.Wait() })
	t.Cleanup(func() { cancel(); ended() })
	return func() string { ended(); return out.String() }
}

// unnamed is a roamproxy as a newcomer runs it, without tools. It has one call in flight at a time, so calls arrive in the order in
// which they were sent.
func unnamed(t *testing.T, unix bool) (r *server.Server, roam *roamtest.Server, target string) {
	t.Helper()
	const rate = 20
	r, roam = servertest.Start(t, lenient(rate), io.Discard, func(c *config.Config) {
		c.Quotas[0].Rate, c.Quotas[0].MaxWait, c.Upstream.MaxInFlight = rate, config.Duration(time.Hour), 1
		if unix {
			c.Listen = "unix://" + filepath.Join(t.TempDir(), "s")
		}
	})
	if unix {
		return r, roam, r.Addr
	}
	return r, roam, "http://" + r.Addr
}

// by returns how many of these calls a script made.
func by(calls []roamtest.Call, script string) (n int) {
	for _, call := range calls {
		if strings.Contains(call.Query, "by="+script) {
			n++
		}
	}
	return n
}

// Beside a flood of another program, a script that gives no name waits for three calls at most.
//
// Seen to fail with all callers that give no name as one tool.
func TestACalmScriptBesideAnUnnamedFlood(t *testing.T) {
	for name, unix := range map[string]bool{"TCP": false, "a Unix socket": true} {
		t.Run(name, func(t *testing.T) {
			r, roam, target := unnamed(t, unix)
			startScript(t, pythonScript(t, "flood.py"), target, "200", "0")
			eventually(t, "the flood is queued", func() bool {
				return r.QueueState("roam").Waiting["flood.py"]+by(roam.Journal(),
					"flood.py") >= 190
			})
			calm := pythonScript(t, "calm.py")
			for i := range 3 {
				wait := startScript(t, calm, target, "1", "0")
				eventually(t, "the calm script's call is queued under its name, or sent", func() bool {
					return r.QueueState("roam").Waiting["calm.py"] > 0 || by(roam.Journal(), "calm.py") > i
				})
				since := time.Now()
				if out := wait(); out != "200\n" {
					t.Fatalf("the calm script is answered %q, with %v queued, want 200", out, r.QueueState("roam").Waiting)
				}
				before := 0
				for _, call := range roam.Journal() {
					if strings.Contains(call.Query, "calm.py") && call.Time.After(since) {
						break
					}
					if call.Time.After(since) {
						before++
					}
				}
				if before > 3 {
					t.Errorf("call %d: %d calls of the flood were sent before the calm script's, want at most 3", i, before)
				}
			}
			if left := r.QueueState("roam").Waiting["flood.py"]; left == 0 {
				t.Error("the flood was over before the calm script was")
			}
		})
	}
}

// A program that gives itself many names has one share of the queue.
//
// Seen to fail with a share for each name.
func TestNamesOfOneProcessShareAWeight(t *testing.T) {
	r, roam, target := unnamed(t, false)
	startScript(t, pythonScript(t, "names.py"), target, "120", "40")
	startScript(t, pythonScript(t, "single.py"), target, "120", "0")
	eventually(t, "the calls of both are queued or sent", func() bool {
		journal, named, single := roam.Journal(), 0, 0
		for name, n := range r.QueueState("roam").Waiting {
			if strings.HasPrefix(name, "name-") {
				named += n
			} else if name == "single.py" {
				single = n
			}
		}
		return named+by(journal, "names.py") == 120 && single+by(journal, "single.py") == 120
	})
	from := roam.Calls()
	const counted = 60
	eventually(t, "as many calls as are counted are sent", func() bool { return roam.Calls() >= from+counted })
	calls := roam.Journal()[from : from+counted]
	if names, single := by(calls, "names.py"), by(calls, "single.py"); single < counted*45/100 || names < counted*45/100 {
		t.Errorf("of %d calls %d were of the program with 40 names and %d of the other, want at least 45 %% each", counted, names, single)
	}
}
