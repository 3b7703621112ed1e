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

// faultHarness is a roamproxy with a faultnet.Net on both sides: tools connect to before, and roamproxy connects to behind.
type faultHarness struct {
	t              *testing.T
	r              *server.Server
	roam           *roamtest.Server
	before, behind *faultnet.Net
	tool           *http.Client
	goroutines     int    // before the first fault
	files          int    // open descriptors before the first fault
	heap           uint64 // bytes after the first fault, since the test itself holds some; 0: not measured yet
}

func newFaultHarness(t *testing.T, change func(*config.Config)) *faultHarness {
	p := &faultHarness{t: t, roam: roamtest.NewServer(roamtest.Options{Rate: 1000, Burst: 1000})}
	t.Cleanup(p.roam.Close)
	p.behind = faultnet.New(t, strings.TrimPrefix(p.roam.URL, "http://"))
	p.r, _ = servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
		c.Upstream.URL, c.Upstream.Timeout = "http://"+p.behind.Addr, config.Duration(2*time.Second) // a busy machine is silent for one
		c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].Jitter = 1000, 1000, 0
		c.Limits.ReadHeaderTimeout = config.Duration(time.Second)
		c.Writes.Remember = 0 // the same write meets one fault after the other
		if change != nil {
			change(c)
		}
	})
	p.before = faultnet.New(t, p.r.Addr)
	p.tool = &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 20 * time.Second}
	t.Cleanup(p.tool.CloseIdleConnections)
	p.call("POST", "/v1/chat.post", "")
	p.closeIdle()
	p.goroutines, p.files = runtime.NumGoroutine(), files(t)
	return p
}

// run runs a subtest, whose goroutine is not one that a fault left behind.
func (h *faultHarness) run(name string, test func(t *testing.T)) {
	outer := h.t
	h.goroutines++
	defer func() { h.t = outer; h.goroutines-- }()
	outer.Run(name, func(t *testing.T) {
		h.t = t
		test(t)
	})
}

// closeIdle closes idle connections, so that the next call opens a new one.
func (h *faultHarness) closeIdle() {
	h.r.CloseIdleConnections()
	h.tool.CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	h.until("connections are closed", func() (string, bool) {
		n := h.behind.Connections() + h.before.Connections()
		return fmt.Sprint(n, " are open"), n == 0
	})
}

// until waits until a condition holds, and fails the test with the state it found last.
func (h *faultHarness) until(what string, holds func() (state string, ok bool)) {
	h.t.Helper()
	state, ok := "", false
	for deadline := time.Now().Add(10 * time.Second); !ok; <-time.After(time.Millisecond) {
		if state, ok = holds(); !ok && time.Now().After(deadline) {
			h.t.Fatalf("%s: not within 10 s: %s", what, state)
		}
	}
}

// call makes one call and describes its end: the status, followed by what the body says about the sending, or by "cut" if the answer
// is incomplete; "nothing" if there is no answer.
func (h *faultHarness) call(method, target, body string) string {
	if body == "" && method == "POST" {
		body = `{"chat":"C-1","text":"hello"}`
	}
	req, _ := http.NewRequest(method, "http://"+h.before.Addr+target, strings.NewReader(body))
	res, err := h.tool.Do(req)
	if err != nil {
		return "nothing"
	}
	defer res.Body.Close()
	var answer bytes.Buffer
	_, err = io.CopyN(&answer, res.Body, 22<<20) // more than the largest body that ends
	got := strconv.Itoa(res.StatusCode)
	switch {
	case err == nil:
		return got + " endless"
	case err != io.EOF:
		return got + " cut"
	case strings.Contains(answer.String(), "may have reached"):
		return got + " perhaps sent"
	case strings.Contains(answer.String(), "not sent"):
		return got + " not sent"
	}
	return got
}

// total returns the sum of a metric over all its labels.
func (h *faultHarness) total(metric string) (sum int) {
	_, exposed := get(h.t, h.tool, "http://"+h.r.AdminAddr+"/metrics")
	for line := range strings.Lines(exposed) {
		if strings.HasPrefix(line, metric+"{") {
			value, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			sum += int(value)
		}
	}
	return sum
}

// counted returns how many calls to Roam were counted.
func (h *faultHarness) counted() int { return h.total("roamproxy_upstream_requests_total") }

// heapGrowth is how much more memory may be in use after a fault than before: less than one body of the larger ones.
const heapGrowth = 8 << 20

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// expectClean waits until a call has left nothing behind: no slot, no queued call, no connection, goroutine, descriptor or memory.
func (h *faultHarness) expectClean() {
	h.t.Helper()
	h.until("slots and the queue are free", func() (string, bool) {
		s := h.r.QueueState("roam")
		return fmt.Sprintf("%+v", s), s.InFlight == 0 && len(s.Waiting) == 0
	})
	h.closeIdle()
	h.until("goroutines have ended", func() (string, bool) {
		n := runtime.NumGoroutine()
		return fmt.Sprintf("%d of them, %d before", n, h.goroutines), n <= h.goroutines
	})
	h.until("descriptors are closed", func() (string, bool) {
		n := files(h.t)
		return fmt.Sprintf("%d of them, %d before", n, h.files), n <= h.files
	})
	h.before.Sent() // what faultnet itself recorded
	h.behind.Sent()
	if h.heap == 0 {
		h.heap = heapInUse()
	}
	h.until("memory is free", func() (string, bool) {
		n := heapInUse()
		return fmt.Sprintf("%d MiB are in use, %d before", n>>20, h.heap>>20), n <= h.heap+heapGrowth
	})
}

// reached is how many calls Roam saw, and how many roamproxy counted, at one moment.
type reached struct{ seen, counted int }

func (h *faultHarness) reached() reached { return reached{h.roam.Calls(), h.counted()} }

// expectReached checks the calls since a moment: want of them are seen by Roam, all of these are counted, and of those that were
// counted the network may have lost some. Then nothing is left behind, and the next call is answered.
func (h *faultHarness) expectReached(since reached, want, lost int) {
	h.t.Helper()
	h.expectClean()
	now := h.reached()
	seen, counted := now.seen-since.seen, now.counted-since.counted
	if seen != want || counted < seen || counted > seen+lost {
		h.t.Errorf("Roam saw %d calls and %d were counted; want %d, and at most %d lost", seen, counted, want, lost)
	}
	if got := h.call("POST", "/v1/chat.post", ""); got != "200" {
		h.t.Errorf("the next call: %s, want 200", got)
	}
	h.closeIdle()
}

// files returns how many descriptors this process has open.
func files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/dev/fd") // Linux and macOS have it
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
