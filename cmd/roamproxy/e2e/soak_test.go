package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// Ten equal tools, who read and write as fast as they may, at 200 calls a second, for as long as SOAK says (make soak: ten
// minutes): Roam refuses nothing, at least 99 % of the rate is used, the tools share it evenly (Jain's index at least 0.99), each
// answer is to the byte what the simulator says to its question, no two writes share one, and memory, goroutines and descriptors are at the end what they were.
//
// Seen to fail with a bucket that is filled 2 % more slowly, with one tool that has turns of a quarter (Jain 0.75), and with a key
// of the cache that lacks the query (another page's answer).
func TestSoak(t *testing.T) {
	const rate, burst, tools, callers = 200, 200, 10, 8
	long := 10 * time.Second
	if s := os.Getenv("SOAK"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal("SOAK: ", err)
		}
	}
	r, roam := servertest.Start(t, roamtest.Options{Rate: rate, Burst: burst}, io.Discard, func(c *config.Config) {
		c.Quotas[0].Rate, c.Quotas[0].Burst, c.Quotas[0].Jitter = rate, burst, config.Duration(500*time.Millisecond) // a busy machine pushes calls that far together
		c.Upstream.MaxInFlight = 50
		c.Tools = nil
	})
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: tools * callers}}
	defer c.CloseIdleConnections()
	answers := newRight(t)
	var writes written
	var sent [tools]atomic.Int64 // calls that went to Roam, by tool
	run := func(d time.Duration) {
		ctx, stop := context.WithTimeout(t.Context(), d)
		defer stop()
		var all sync.WaitGroup
		for tool := range tools {
			for caller := range callers {
				all.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						through, err := soaked(c, "http://"+r.Addr, fmt.Sprintf("tool-%d", tool), i*callers+caller, answers, &writes)
						if err != nil && ctx.Err() == nil {
							t.Error(err)
						}
						if through {
							sent[tool].Add(1)
						}
					}
				})
			}
		}
		all.Wait()
	}
	run(2 * time.Second) // the burst goes, connections and the cache come
	state := func() (goroutines, descriptors int, heap uint64) {
		var m runtime.MemStats
		for goroutines = 0; goroutines != runtime.NumGoroutine(); <-time.After(100 * time.Millisecond) { // until idle connections are gone
			goroutines = runtime.NumGoroutine()
			c.CloseIdleConnections()
			r.CloseIdleConnections()
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		return goroutines, files(t), m.HeapAlloc
	}
	goroutines, descriptors, heap := state()
	for tool := range tools {
		sent[tool].Store(0)
	}
	var shares []float64 // of the rate, by second, without the first one, in which goes what came together meanwhile
	var calls int        // in those seconds
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		seconds := time.NewTicker(time.Second)
		defer seconds.Stop()
		start, at, before := time.Now(), time.Time{}, 0
		for time.Since(start) < long {
			now, total := <-seconds.C, roam.Calls()
			if !at.IsZero() {
				shares = append(shares, float64(total-before)/rate/now.Sub(at).Seconds())
				calls += total - before
			}
			at, before = now, total
		}
	}()
	run(long + 100*time.Millisecond)
	<-measured
	all := 0.0
	for _, s := range shares {
		all += s / float64(len(shares))
	}
	slices.Sort(shares)
	usual, worst := shares[len(shares)/2], shares[0]
	if roam.Refused() != 0 {
		t.Errorf("Roam refused %d calls, want none", roam.Refused())
	}
	if most := max(usual, all); most < 0.99 || os.Getenv("SOAK") != "" && all < 0.99 { // beside other tests a second may find the machine taken
		t.Errorf("%.2f %% of the rate was used in the usual second and %.2f %% in all, want at least 99 %%", 100*usual, 100*all)
	}
	var sum, squares float64
	for tool := range tools {
		n := float64(sent[tool].Load())
		sum, squares = sum+n, squares+n*n
	}
	fair := sum * sum / (tools * squares)
	if fair < 0.99 {
		t.Errorf("Jain's index of the tools is %.4f, want at least 0.99: %v", fair, &sent)
	}
	if n := writes.twice(); n > 0 || len(writes.all) == 0 {
		t.Errorf("of the answers to %d writes %d were given twice, want none", len(writes.all), n)
	}
	g, d, h := state()
	if g > goroutines+10 || d > descriptors+10 {
		t.Errorf("%d goroutines and %d descriptors at the end, %d and %d at the beginning", g, d, goroutines, descriptors)
	}
	// The simulator's journal grows by about 1 KiB a call until it is full, and is in this process too.
	if journal := uint64(min(calls, 100_000)) << 10; h > heap+journal+32<<20 {
		t.Errorf("%d MiB of heap at the end, %d at the beginning", h>>20, heap>>20)
	}
	t.Logf("%v: %d calls, %.2f %% of the rate (usual second %.2f %%, worst %.2f %%), Jain %.4f, goroutines %d → %d, heap %d → %d MiB", long, calls, 100*all, 100*usual, 100*worst, fair, goroutines, g, heap>>20, h>>20)
}

// right is what the simulator says to each question of the soak, by its target. It is asked of another simulator, without any
// roamproxy.
type right map[string]string

// soakUsers are as many users as are asked for one by one.
const soakUsers = 250

func newRight(t *testing.T) right {
	t.Helper()
	roam, all := roamtest.New(roamtest.Options{Rate: 1000, Burst: 1000}), make(right)
	targets := []string{"/v1/groups.list", "/v1/meeting.search"}
	for user := range soakUsers {
		targets = append(targets, soakUser(user))
	}
	for _, target := range targets {
		req, _ := http.NewRequest("GET", "http://roam"+target, nil)
		req.Header.Set("Authorization", "Bearer "+roamtest.DefaultKey)
		res, err := roam.Transport().RoundTrip(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(target, err)
		}
		body, _ := io.ReadAll(res.Body)
		all[target] = string(body)
	}
	return all
}

func soakUser(i int) string { return fmt.Sprintf("/v1/user.list?limit=1&cursor=%d", i%soakUsers+1) }

// written has the moment that Roam gave each message. Two messages never have the same, so two writes never have one answer.
type written struct {
	mu  sync.Mutex // guards all
	all []int64
}

// add tells whether an answer is one to a message.
func (w *written) add(answer []byte) bool {
	var at int64
	if n, _ := fmt.Sscanf(string(answer), `{"chatId":"C-1","ok":true,"timestamp":%d}`, &at); n != 1 || string(answer) != fmt.Sprintf(`{"chatId":"C-1","ok":true,"timestamp":%d}`, at) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, at)
	return true
}

// twice is how many answers were given more than once.
func (w *written) twice() int {
	slices.Sort(w.all)
	return len(w.all) - len(slices.Compact(slices.Clone(w.all)))
}

// soaked makes the i-th call of a caller's, one of a mixture, and checks its answer to the byte. It tells whether it went to Roam.
func soaked(c *http.Client, base, tool string, i int, answers right, writes *written) (sent bool, err error) {
	method, target, body := "POST", "/v1/chat.post", fmt.Sprintf(`{"chatId":"C-1","text":"%s says %d"}`, tool, i)
	switch i % 5 {
	case 1:
		method, target, body = "GET", "/v1/groups.list", ""
	case 2:
		method, target, body = "GET", soakUser(i), ""
	case 3:
		method, target, body = "GET", "/v1/meeting.search", ""
	}
	req, _ := http.NewRequest(method, base+target, strings.NewReader(body))
	req.Header.Set("Roamproxy-Tool", tool)
	res, err := c.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || method == "GET" && string(got) != answers[target] || method == "POST" && !writes.add(got) {
		return false, fmt.Errorf("%s %s: %d %.200s (%v), want %.200s", method, target, res.StatusCode, got, err, answers[target])
	}
	status := res.Header.Get("Cache-Status")
	return !strings.Contains(status, "hit") && !strings.Contains(status, "collapsed"), nil
}
