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
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

const (
	soakRate    = 200 // calls a second, and as many at once
	soakTools   = 10
	soakCallers = 8 // of each tool
)

// soak is a mixed load on one roamproxy.
type soak struct {
	t       *testing.T
	r       *server.Server
	roam    *roamtest.Server
	tools   *http.Client
	answers rightAnswers
	writes  messageTimes
	sent    [soakTools]atomic.Int64 // calls that reached Roam, by tool
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, answers: newRightAnswers(t)}
	s.r, s.roam = servertest.Start(t, roamtest.Options{Rate: soakRate, Burst: soakRate}, io.Discard, func(c *config.Config) {
		c.Quotas[0].Rate, c.Quotas[0].Burst = soakRate, soakRate
		c.Quotas[0].Jitter = config.Duration(500 * time.Millisecond) // a busy machine pushes calls that far together
		c.Upstream.MaxInFlight = 50
	})
	s.tools = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakTools * soakCallers}}
	t.Cleanup(s.tools.CloseIdleConnections)
	return s
}

// run has all tools read and write as fast as they may.
func (s *soak) run(d time.Duration) {
	ctx, stop := context.WithTimeout(s.t.Context(), d)
	defer stop()
	var all sync.WaitGroup
	for tool := range soakTools {
		for caller := range soakCallers {
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					sent, err := s.call(fmt.Sprintf("tool-%d", tool), i*soakCallers+caller)
					if err != nil && ctx.Err() == nil {
						s.t.Error(err)
					}
					if sent {
						s.sent[tool].Add(1)
					}
				}
			})
		}
	}
	all.Wait()
}

// usage is what a process uses while no call is under way.
type usage struct {
	goroutines, descriptors int
	heap                    uint64 // bytes
}

func (s *soak) usage() (u usage) {
	for u.goroutines = 0; u.goroutines != runtime.NumGoroutine(); <-time.After(100 * time.Millisecond) { // until idle connections are closed
		u.goroutines = runtime.NumGoroutine()
		s.tools.CloseIdleConnections()
		s.r.CloseIdleConnections()
	}
	u.descriptors, u.heap = files(s.t), heapInUse()
	return u
}

// shares measures for that long which part of the rate is used in each second but the first, in which go the tokens that were saved
// before. It returns the shares in order and the number of calls.
func (s *soak) shares(long time.Duration) (shares []float64, calls int) {
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	start, at, before := time.Now(), time.Time{}, 0
	for time.Since(start) < long {
		now, total := <-seconds.C, s.roam.Calls()
		if !at.IsZero() {
			shares = append(shares, float64(total-before)/soakRate/now.Sub(at).Seconds())
			calls += total - before
		}
		at, before = now, total
	}
	return shares, calls
}

// fairness returns Jain's index of the tools: 1 if all had as much, 1/soakTools if one had all.
func (s *soak) fairness() float64 {
	var sum, squares float64
	for tool := range soakTools {
		n := float64(s.sent[tool].Load())
		sum, squares = sum+n, squares+n*n
	}
	return sum * sum / (soakTools * squares)
}

// Ten equal tools read and write as fast as they may, at 200 calls a second, for as long as SOAK says (make soak: ten minutes). Roam
// refuses nothing, at least 99 % of the rate is used, and the tools share it evenly. Each answer is to the byte that of the simulator,
// no two writes have the same, and memory, goroutines and descriptors are at the end what they were.
//
// Seen to fail with a bucket that is filled 2 % more slowly, with one tool of a quarter of the weight (Jain 0.75), and with a cache key
// that lacks the query (another page's answer).
func TestSoak(t *testing.T) {
	long := 10 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal("SOAK: ", err)
		}
	}
	s := newSoak(t)
	s.run(2 * time.Second) // the burst goes; connections and the cache come
	first := s.usage()
	for tool := range soakTools {
		s.sent[tool].Store(0)
	}
	var shares []float64
	var calls int
	var measuring sync.WaitGroup
	measuring.Go(func() { shares, calls = s.shares(long) })
	s.run(long + 100*time.Millisecond)
	measuring.Wait()
	all := 0.0
	for _, share := range shares {
		all += share / float64(len(shares))
	}
	slices.Sort(shares)
	usual, worst := shares[len(shares)/2], shares[0]
	if s.roam.Refused() != 0 {
		t.Errorf("Roam refused %d calls, want none", s.roam.Refused())
	}
	// Beside other tests a second may find the machine taken.
	if most := max(usual, all); most < 0.99 || os.Getenv("SOAK") != "" && all < 0.99 {
		t.Errorf("%.2f %% of the rate was used in the usual second and %.2f %% in all, want at least 99 %%", 100*usual, 100*all)
	}
	fair := s.fairness()
	if fair < 0.99 {
		t.Errorf("Jain's index of the tools is %.4f, want at least 0.99: %v", fair, &s.sent)
	}
	if n := s.writes.twice(); n > 0 || len(s.writes.all) == 0 {
		t.Errorf("of the answers to %d writes %d were given twice, want none", len(s.writes.all), n)
	}
	last := s.usage()
	if last.goroutines > first.goroutines+10 || last.descriptors > first.descriptors+10 {
		t.Errorf("%d goroutines and %d descriptors at the end, want %d and %d as at the beginning", last.goroutines, last.descriptors,
			first.goroutines, first.descriptors)
	}
	// The simulator's journal is in this process too. It grows by about 1 KiB a call until it is full.
	if journal := uint64(min(calls, 100_000)) << 10; last.heap > first.heap+journal+32<<20 {
		t.Errorf("%d MiB of heap at the end, %d at the beginning, want at most %d more", last.heap>>20, first.heap>>20, journal>>20+32)
	}
	t.Logf("%v: %d calls, %.2f %% of the rate (usual second %.2f %%, worst %.2f %%), Jain %.4f, goroutines %d → %d, heap %d → %d MiB",
		long, calls, 100*all, 100*usual, 100*worst, fair, first.goroutines, last.goroutines, first.heap>>20, last.heap>>20)
}

// rightAnswers is what the simulator answers to each read of the soak, by its target. Another simulator gave them, without roamproxy.
type rightAnswers map[string]string

// soakUsers is how many users are read one by one.
const soakUsers = 250

func newRightAnswers(t *testing.T) rightAnswers {
	t.Helper()
	roam, all := roamtest.New(roamtest.Options{Rate: 1000, Burst: 1000}), make(rightAnswers)
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

// messageTimes are the times that Roam gave to messages. No two messages have the same, so no two writes have the same answer.
type messageTimes struct {
	mu  sync.Mutex // guards all
	all []int64
}

// add reports whether an answer is one to a message, and keeps its time.
func (m *messageTimes) add(answer []byte) bool {
	var at int64
	const message = `{"chatId":"C-1","ok":true,"timestamp":%d}`
	if n, _ := fmt.Sscanf(string(answer), message, &at); n != 1 || string(answer) != fmt.Sprintf(message, at) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, at)
	return true
}

// twice returns how many answers were given more than once.
func (m *messageTimes) twice() int {
	slices.Sort(m.all)
	return len(m.all) - len(slices.Compact(slices.Clone(m.all)))
}

// call makes the i-th call of a caller, one of a mixture, and checks its answer to the byte. It reports whether it reached Roam.
func (s *soak) call(tool string, i int) (sent bool, err error) {
	method, target, body := "POST", "/v1/chat.post", fmt.Sprintf(`{"chatId":"C-1","text":"%s says %d"}`, tool, i)
	switch i % 5 {
	case 1:
		method, target, body = "GET", "/v1/groups.list", ""
	case 2:
		method, target, body = "GET", soakUser(i), ""
	case 3:
		method, target, body = "GET", "/v1/meeting.search", ""
	}
	req, _ := http.NewRequest(method, "http://"+s.r.Addr+target, strings.NewReader(body))
	req.Header.Set("Roamproxy-Tool", tool)
	res, err := s.tools.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	right := method == "GET" && string(got) == s.answers[target] || method == "POST" && s.writes.add(got)
	if err != nil || res.StatusCode != 200 || !right {
		return false, fmt.Errorf("%s %s: %d %.200s (%v), want %.200s", method, target, res.StatusCode, got, err, s.answers[target])
	}
	status := res.Header.Get("Cache-Status")
	return !strings.Contains(status, "hit") && !strings.Contains(status, "collapsed"), nil
}
