package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// logReader starts roamproxy with a pipe for its log, and returns the reading end when it serves.
func logReader(t *testing.T, cmd *exec.Cmd) (log *os.File, base, admin string) {
	t.Helper()
	log, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = end
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); log.Close() })
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, Listen, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			return log, "http://" + line.Listen, "http://" + line.Admin
		}
	}
	t.Fatal("it does not serve")
	return nil, "", ""
}

// The program that reads the log ends. Calls go on, and readiness reports the lines that were lost.
//
// Seen to fail without ignoring SIGPIPE: the process ended after the first call.
func TestCallsContinueAfterTheReaderOfTheLogEnds(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	cmd := prepare(t, roam.URL, t.TempDir())
	log, base, admin := logReader(t, cmd)
	log.Close()
	tools := client(t)
	for range 3 {
		if got := post(tools, base); got != 200 {
			t.Fatalf("a call is answered %d, want 200", got)
		}
	}
	eventually(t, "lines are counted as lost", func() bool {
		_, exposed := get(t, tools, admin+"/metrics")
		return strings.Contains(exposed, "roamproxy_log_lines_dropped_total 3")
	})
	if res, body := get(t, tools, admin+"/readyz?verbose"); res.StatusCode != 200 || !strings.Contains(body, "3 lines were lost") {
		t.Errorf("readyz: %d %s, want 200 and a note", res.StatusCode, body)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit 0", err)
	}
}

// Each line of a call has what distinguishes two scripts.
func TestTheLogHasPeerAndUserAgent(t *testing.T) {
	var log servertest.Buffer
	r, _ := servertest.Start(t, roamtest.Options{}, &log, nil)
	get(t, client(t), "http://"+r.Addr+"/v1/groups.list", "User-Agent", "python-requests/2.32 (linux)")
	eventually(t, "the line of the call", func() bool {
		return strings.Contains(log.String(), `"peer":"127.0.0.1:`) && strings.Contains(log.String(), `"user_agent":"python-requests"`)
	})
}

// Seen to fail with a level debug that said nothing more.
func TestDebugLogsTheDecisionsOfEachCall(t *testing.T) {
	var log servertest.Buffer
	r, _ := servertest.Start(t, roamtest.Options{}, &log, func(c *config.Config) { c.Log = config.Log{Level: "debug", Format: "json"} })
	for range 2 {
		get(t, client(t), "http://"+r.Addr+"/v1/groups.list", "Priority", "u=1", "Prefer", "wait=7")
	}
	for _, want := range []string{`"cache_status":"roamproxy; fwd=uri-miss; stored"`, `"cache_status":"roamproxy; hit; ttl=`,
		`"rule":"GET /v*/`, `"urgency":1`, `"longest_wait_ms":7000`} {
		eventually(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
}
