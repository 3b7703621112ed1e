package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/e2e/faultnet"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// road is a roamproxy with a network that can be spoiled before it and behind it.
type road struct {
	t              *testing.T
	r              *server.Server
	roam           *roamtest.Server
	before, behind *faultnet.Net
	tool           *http.Client
	goroutines     int
	files          int
	heap           uint64 // after the first fault: the test itself holds some, too
}

func newRoad(t *testing.T, change func(*config.Config)) *road {
	p := &road{t: t, roam: roamtest.NewServer(roamtest.Options{Rate: 1000, Burst: 1000})}
	t.Cleanup(p.roam.Close)
	p.behind = faultnet.New(t, strings.TrimPrefix(p.roam.URL, "http://"))
	p.r, _ = servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
		c.Upstream.URL, c.Upstream.Timeout = "http://"+p.behind.Addr, config.Duration(2*time.Second) // a busy machine is silent for one
		c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].Jitter = 1000, 1000, 0
		c.Limits.ReadHeaderTimeout = config.Duration(time.Second)
		c.Writes.Remember = 0 // the same write goes through one fault after the other
		if change != nil {
			change(c)
		}
	})
	p.before = faultnet.New(t, p.r.Addr)
	p.tool = &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 20 * time.Second}
	t.Cleanup(p.tool.CloseIdleConnections)
	p.call("POST", "/v1/chat.post", "")
	p.quiet()
	p.goroutines, p.files = runtime.NumGoroutine(), files(t)
	return p
}

// quiet ends idle connections, so that the next call makes a new one.
func (p *road) quiet() {
	p.r.CloseIdleConnections()
	p.tool.CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	p.until("connections end", func() (string, bool) {
		n := p.behind.Connections() + p.before.Connections()
		return fmt.Sprint(n, " are there"), n == 0
	})
}

// until waits for what must come.
func (p *road) until(what string, met func() (string, bool)) {
	p.t.Helper()
	var state string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		var ok bool
		if state, ok = met(); ok {
			return
		}
		<-time.After(time.Millisecond)
	}
	p.t.Fatalf("%s: still not: %s", what, state)
}

// call makes one call and says what became of it: its status, with what roamproxy says of the sending, or with "cut" where the
// answer did not come whole.
func (p *road) call(method, target, body string) string {
	if body == "" && method == "POST" {
		body = `{"chat":"C-1","text":"hello"}`
	}
	req, _ := http.NewRequest(method, "http://"+p.before.Addr+target, strings.NewReader(body))
	res, err := p.tool.Do(req)
	if err != nil {
		return "nothing"
	}
	defer res.Body.Close()
	var told bytes.Buffer
	_, err = io.CopyN(&told, res.Body, 22<<20) // more than the largest that ends
	got := strconv.Itoa(res.StatusCode)
	switch {
	case err == nil:
		return got + " endless"
	case err != io.EOF:
		return got + " cut"
	case strings.Contains(told.String(), "may have reached"):
		return got + " perhaps sent"
	case strings.Contains(told.String(), "not sent"):
		return got + " not sent"
	}
	return got
}

// sends is how many calls to Roam were counted.
func (p *road) sends() (n int) {
	_, exposed := get(p.t, p.tool, "http://"+p.r.AdminAddr+"/metrics")
	for line := range strings.Lines(exposed) {
		if strings.HasPrefix(line, "roamproxy_upstream_requests_total{") {
			count, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			n += int(count)
		}
	}
	return n
}

// forgotten is how much more memory may be in use after a fault than before all: less than one body of the larger ones.
const forgotten = 8 << 20

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// clean waits until nothing is left of a call: no slot, no place, no connection, no goroutine, no descriptor, no memory.
func (p *road) clean(name string) {
	p.t.Helper()
	p.until(name+": slots and places are free", func() (string, bool) {
		s := p.r.QueueState("roam")
		return fmt.Sprintf("%+v", s), s.InFlight == 0 && len(s.Waiting) == 0
	})
	p.quiet()
	p.until(name+": goroutines end", func() (string, bool) {
		n := runtime.NumGoroutine()
		return fmt.Sprintf("%d of them, %d before", n, p.goroutines), n <= p.goroutines
	})
	p.until(name+": descriptors are closed", func() (string, bool) {
		n := files(p.t)
		return fmt.Sprintf("%d of them, %d before", n, p.files), n <= p.files
	})
	p.before.Sent() // what the network itself kept
	p.behind.Sent()
	if p.heap == 0 {
		p.heap = heap()
	}
	p.until(name+": memory is free", func() (string, bool) {
		n := heap()
		return fmt.Sprintf("%d MiB are in use, %d before", n>>20, p.heap>>20), n <= p.heap+forgotten
	})
}

// settled checks what a fault left: nothing but calls that were counted, and a way for the next one. Of those that were sent,
// the network may have lost some.
func (p *road) settled(name string, calls, sends, want, lost int) {
	p.t.Helper()
	p.clean(name)
	seen, counted := p.roam.Calls()-calls, p.sends()-sends
	if seen != want || counted < seen || counted > seen+lost {
		p.t.Errorf("%s: Roam saw %d calls and %d were counted; want %d, and %d lost", name, seen, counted, want, lost)
	}
	if got := p.call("POST", "/v1/chat.post", ""); got != "200" {
		p.t.Errorf("%s: the next call: %s, want 200", name, got)
	}
	p.quiet()
}

// files counts our open descriptors.
func files(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("descriptors cannot be counted here: %v", err)
		}
		t.Skip("left out: descriptors cannot be counted here")
	}
	return len(open)
}
