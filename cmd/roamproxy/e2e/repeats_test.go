package e2e

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// The programs below post one message and try three times where their library does, also for a POST. They print the last status.
const (
	// sdkScript retries as Roam's SDK for Python does: a failed connection, a broken protocol, and 408, 409, 429 and 5xx.
	sdkScript = `
import sys, time, httpx
last = None
with httpx.Client(base_url=sys.argv[1], timeout=60) as c:
    for attempt in range(3):
        try: r = c.post("/v1/chat.post", json={"chat": "C-1", "text": "hello"})
        except (httpx.ConnectError, httpx.RemoteProtocolError): continue
        except httpx.TransportError: break
        last = r.status_code
        if last not in (408, 409, 429) and last < 500: break
print(last)`

	// requestsRetryScript has urllib3 retry 5xx, and a loop retry what urllib3 does not: an answer that breaks off.
	requestsRetryScript = `
import sys, requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry
s = requests.Session()
s.mount("http://", HTTPAdapter(max_retries=Retry(
    total=2, status_forcelist=[500, 502, 503, 504], allowed_methods=None, raise_on_status=False)))
for attempt in range(3):
    try: print(s.post(sys.argv[1] + "/v1/chat.post", json={"chat": "C-1", "text": "hello"}).status_code); break
    except requests.exceptions.ChunkedEncodingError: continue`

	// hastyScript has urllib3 give up after 1.5 s and repeat at once.
	hastyScript = `
import sys, requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry
s = requests.Session()
s.mount("http://", HTTPAdapter(max_retries=Retry(total=2, read=2, allowed_methods=None)))
print(s.post(sys.argv[1] + "/v1/chat.post", json={"chat": "C-1", "text": "hello"}, timeout=1.5).status_code)`

	axiosRetryScript = `
const axios = require('axios'), retry = require('axios-retry').default;
const c = axios.create({baseURL: process.argv[1]});
retry(c, {retries: 2, retryCondition: e => !e.response || e.response.status >= 500});
c.post('/v1/chat.post', {chat: 'C-1', text: 'hello'}).then(r => console.log(r.status), e => console.log(e.response?.status));`
)

// clientRetries runs one of the programs, which needs a module, and returns what it printed.
func clientRetries(t *testing.T, base, program, needs string, args ...string) string {
	t.Helper()
	path := redistest.Module(t, program, args[0], needs)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append(args, base)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// goRetries is the retry loop of Go SDKs: three tries on 5xx and on a failed connection.
func goRetries(t *testing.T, base string) string {
	last := ""
	for range 3 {
		res, err := client(t).Post(base+"/v1/chat.post", "application/json", strings.NewReader(`{"chat":"C-1","text":"hello"}`))
		if err != nil {
			continue
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if last = res.Status[:3]; err == nil && res.StatusCode < 500 {
			break
		}
	}
	return last
}

// Clients repeat a POST after a 5xx, as SDKs do. Whatever the network did to the first attempt, one message reaches Roam.
//
// Seen to fail before writes were remembered: three messages.
func TestAWriteThatClientsRepeatIsSentOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, base string) string
	}{
		{"Roam's SDK for Python", func(t *testing.T, base string) string {
			return clientRetries(t, base, "/usr/bin/python3", "import httpx", "-c", sdkScript)
		}},
		{"requests with urllib3's Retry", func(t *testing.T, base string) string {
			return clientRetries(t, base, "/usr/bin/python3", "import requests", "-c", requestsRetryScript)
		}},
		{"axios-retry", func(t *testing.T, base string) string {
			return clientRetries(t, base, "node", "require('axios-retry')", "-e", axiosRetryScript)
		}},
		{"Go", goRetries},
	} {
		for _, f := range []struct {
			name  string
			fault roamtest.Fault
			last  string // status that the client ends with
		}{
			{"a hang", roamtest.Hang(), "504"},
			{"a reset before the answer", roamtest.ResetBefore(), "502"},
			{"an answer that is cut off", roamtest.ResetInBody(), "502"},
		} {
			t.Run(c.name+", "+f.name, func(t *testing.T) {
				r, roam := servertest.Start(t, roamtest.Options{}, io.Discard,
					func(c *config.Config) { c.Upstream.Timeout = config.Duration(time.Second) })
				roam.Script(f.fault.On("POST /v1/chat.post").Times(3))
				last := c.run(t, "http://"+r.Addr)
				// Some clients do not repeat an answer that breaks off.
				if last != f.last && !(strings.HasPrefix(f.name, "an answer") && (last == "" || last == "None" || last == "undefined")) {
					t.Errorf("the client ends with %q, want %s", last, f.last)
				}
				oneMessage(t, roam)
			})
		}
	}
}

// A client gives up before roamproxy does and repeats at once. Its repeat may arrive before the end of its first connection.
func TestAWriteRepeatedAfterAClientTimeoutIsSentOnce(t *testing.T) {
	r, roam := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	roam.Script(roamtest.Hang().On("POST /v1/chat.post"))
	if got := clientRetries(t, "http://"+r.Addr, "/usr/bin/python3", "import requests", "-c", hastyScript); got != "504" {
		t.Errorf("the client ends with %q, want 504", got)
	}
	oneMessage(t, roam)
}

// With an Idempotency-Key the client gets the answer, because its first call goes on without it.
func TestAWriteRepeatedUnderAKeyGetsItsAnswer(t *testing.T) {
	r, roam := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	roam.Script(roamtest.Delay(3 * time.Second).On("POST /v1/chat.post"))
	script := strings.Replace(hastyScript, "timeout=1.5", `timeout=1.5, headers={"Idempotency-Key": "k"}`, 1)
	script = strings.Replace(script, "total=2, read=2", "total=5, read=5", 1)
	if got := clientRetries(t, "http://"+r.Addr, "/usr/bin/python3", "import requests", "-c", script); got != "200" {
		t.Errorf("the client ends with %q, want 200", got)
	}
	oneMessage(t, roam)
}

// oneMessage checks that one write reached Roam.
func oneMessage(t *testing.T, roam *roamtest.Server) {
	t.Helper()
	n := 0
	for _, call := range roam.Journal() {
		if call.Method == http.MethodPost {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d messages reached Roam, want one", n)
	}
}

// A client repeats a write at another replica.
//
// Seen to fail with replicas that do not share what they remember.
func TestAWriteRepeatedAtAnotherReplicaIsSentOnce(t *testing.T) {
	redis := redistest.NewRedis(t)
	change := func(c *config.Config) {
		c.Upstream.Timeout, c.Redis.URL = config.Duration(time.Second), config.RedisURL(redis.URL())
	}
	here, roam := servertest.Start(t, roamtest.Options{}, io.Discard, change)
	other, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) { change(c); c.Upstream.URL = roam.URL })
	for _, r := range []string{here.AdminAddr, other.AdminAddr} {
		eventually(t, "Redis is up", func() bool {
			_, exposed := get(t, client(t), "http://"+r+"/metrics")
			return strings.Contains(exposed, "roamproxy_redis_up 1")
		})
	}
	roam.Script(roamtest.Hang().On("POST /v1/chat.post"))
	for i, base := range []string{here.Addr, other.Addr, here.Addr} {
		req, _ := http.NewRequest("POST", "http://"+base+"/v1/chat.post", strings.NewReader(`{"chat":"C-1","text":"hello"}`))
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusGatewayTimeout || i > 0 && res.Header.Get("Roamproxy-Error") != "outcome_unknown" {
			t.Errorf("call %d: %d %s, want 504, and for a repeat outcome_unknown", i+1, res.StatusCode, res.Header.Get("Roamproxy-Error"))
		}
	}
	oneMessage(t, roam)
	if _, exposed := get(t, client(t), "http://"+other.AdminAddr+"/metrics"); !strings.Contains(exposed,
		`roamproxy_repeats_total{kind="unknown"} 1`) {
		t.Error("the other replica did not count the repeat")
	}
}
