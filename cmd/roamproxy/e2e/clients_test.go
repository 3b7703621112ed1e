package e2e

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// The programs below write twelve messages at once, each in the way that its library has for a 429, and know of roamproxy only
// the address. They print nothing, and fail unless every message got a 200.
const (
	curlScript = `
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  curl -sS -o /dev/null --fail --retry 30 --json '{"chat":"C-1","text":"curl"}' "$1/v1/chat.post" 2>/dev/null &
  pids="$pids $!"
done
for p in $pids; do wait $p || exit 1; done`

	requestsScript = `
import sys, requests
from concurrent.futures import ThreadPoolExecutor
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry
s = requests.Session()
s.mount("http://", HTTPAdapter(pool_maxsize=12, max_retries=Retry(total=30, status_forcelist=[429], allowed_methods=None)))
def say(i): s.post(sys.argv[1] + "/v1/chat.post", json={"chat": "C-1", "text": "requests"}).raise_for_status()
with ThreadPoolExecutor(12) as pool: list(pool.map(say, range(12)))`

	httpxScript = `
import asyncio, sys, httpx
async def main():
    async with httpx.AsyncClient(base_url=sys.argv[1], timeout=30) as c:
        async def say(i):
            while (r := await c.post("/v1/chat.post", json={"chat": "C-1", "text": "httpx"})).status_code == 429:
                await asyncio.sleep(int(r.headers["retry-after"]))
            r.raise_for_status()
        await asyncio.gather(*map(say, range(12)))
asyncio.run(main())`

	fetchScript = `
const say = async () => {
  for (;;) {
    const r = await fetch(process.argv[1] + '/v1/chat.post',
      {method: 'POST', headers: {'content-type': 'application/json'}, body: '{"chat":"C-1","text":"fetch"}'});
    await r.text();
    if (r.status === 200) return;
    if (r.status !== 429) throw new Error(r.status);
    await new Promise(done => setTimeout(done, 1000 * r.headers.get('retry-after')));
  }
};
Promise.all(Array.from({length: 12}, say)).catch(e => { console.error(e); process.exit(1); });`

	axiosScript = `
const axios = require('axios'), retry = require('axios-retry').default;
const c = axios.create({baseURL: process.argv[1]});
retry(c, {retries: 30, retryCondition: e => e.response?.status === 429,
  retryDelay: (n, e) => retry.retryAfter?.(e) || 1000 * e.response.headers['retry-after']});
Promise.all(Array.from({length: 12}, () => c.post('/v1/chat.post', {chat: 'C-1', text: 'axios'})))
  .catch(e => { console.error(e); process.exit(1); });`
)

// Real clients call while the queue is full and while Roam asks for a pause. Every call succeeds, each message is written once, and Roam
// refuses nothing but the scripted call.
//
// Seen to fail without a Retry-After (the httpx client finds none).
func TestRealClientsWriteEachMessageOnce(t *testing.T) {
	type starter func(t *testing.T, base string) *exec.Cmd
	python := func(module, script string) starter {
		return func(t *testing.T, base string) *exec.Cmd {
			return exec.Command(redistest.Module(t, "/usr/bin/python3", "-c", "import "+module), "-c", script, base)
		}
	}
	node := func(load, script string) starter {
		return func(t *testing.T, base string) *exec.Cmd {
			return exec.Command(redistest.Module(t, "node", "-e", load), "-e", script, base)
		}
	}
	for _, tt := range []struct {
		name string
		run  starter
	}{
		{"curl --retry", func(t *testing.T, base string) *exec.Cmd {
			redistest.Program(t, "curl")
			return exec.Command("sh", "-c", curlScript, "sh", base)
		}},
		{"requests with urllib3's Retry", python("requests", requestsScript)},
		{"httpx", python("httpx", httpxScript)},
		{"node's fetch", node("", fetchScript)},
		{"axios with axios-retry", node("require('axios-retry')", axiosScript)},
		{"Go's net/http", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, roam := servertest.Start(t, roamtest.Options{Rate: 5, Burst: 4}, io.Discard, func(c *config.Config) {
				c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].MaxQueue = 5, 4, 4
				c.Upstream.MaxInFlight = 1 // it may arrive late on a machine that stands still, and one token is held back for it
			})
			roam.Script(roamtest.Throttle("1").On("POST /v1/chat.post"))
			base := "http://" + r.Addr
			if tt.run == nil {
				goTool(t, base)
			} else {
				cmd := tt.run(t, base)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				c := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			written := 0
			for _, call := range roam.Journal() {
				if call.Status == http.StatusOK {
					written++
				}
			}
			if written != 12 || roam.Refused() != 1 {
				t.Errorf("Roam has %d messages and refused %d calls, want 12 and the scripted one", written, roam.Refused())
			}
			_, exposed := get(t, client(t), "http://"+r.AdminAddr+"/metrics")
			if !strings.Contains(exposed, `refused_total{reason="queue_full"`) && !strings.Contains(exposed, `refused_total{reason="paused"`) {
				t.Error("no call was refused, so no client had to repeat one")
			}
		})
	}
}

// goTool is a tool in Go that obeys Retry-After.
func goTool(t *testing.T, base string) {
	c := client(t)
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for {
				res, err := c.Post(base+"/v1/chat.post", "application/json", strings.NewReader(`{"chat":"C-1","text":"go"}`))
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				if res.StatusCode != http.StatusTooManyRequests {
					if res.StatusCode != 200 {
						t.Error(res.Status)
					}
					return
				}
				after, _ := strconv.Atoi(res.Header.Get("Retry-After"))
				<-time.After(time.Duration(after) * time.Second)
			}
		})
	}
	all.Wait()
}
