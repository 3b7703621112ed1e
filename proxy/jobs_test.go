package proxy

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/roamtest"
)

var updateJobs = flag.Bool("update-jobs", false, "write the figures of the jobs to testdata")

const jobsFile = "testdata/jobs.txt"

// job is what companies do with Roam: several programs at once, on one quota.
type job struct {
	name  string
	tools int
	run   func(w *worker)
	paced bool // its length is its own, and not the quota's
}

// worker is one program of a job.
type worker struct {
	t     *testing.T
	h     *harness
	n     int // of the program
	asked atomic.Int64
}

func (w *worker) call(method, target, body string) *httptest.ResponseRecorder {
	w.asked.Add(1)
	res := w.h.do(w.t.Context(), method, target, body, "Roamproxy-Tool", fmt.Sprintf("tool-%d", w.n), "Content-Type", "application/json")
	if res.Code >= 300 {
		w.t.Errorf("%s %s: %d %.200s", method, target, res.Code, res.Body)
	}
	return res
}

func (w *worker) get(target string) *httptest.ResponseRecorder { return w.call("GET", target, "") }

// walk reads a whole list page by page, at Roam's usual limit, and returns the ids in it.
func (w *worker) walk(target, list string) (ids []string) {
	for cursor := ""; ; {
		var page map[string]json.RawMessage
		if err := json.Unmarshal(w.get(target+"?cursor="+cursor).Body.Bytes(), &page); err != nil {
			w.t.Fatalf("%s: %v", target, err)
		}
		var items []struct{ ID, MeetingID string }
		json.Unmarshal(page[list], &items)
		for _, i := range items {
			ids = append(ids, i.ID+i.MeetingID)
		}
		if json.Unmarshal(page["nextCursor"], &cursor); page["nextCursor"] == nil || cursor == "" {
			return ids
		}
	}
}

// awaitOwnMoment returns at a moment at which no other program makes a call and no answer comes. Of two equal calls at one moment either
// may be first, which decides whether the other finds an answer.
func (w *worker) awaitOwnMoment() {
	const cycle = 10 * time.Microsecond // more than there are programs
	time.Sleep((cycle + time.Duration(w.n)*time.Microsecond - time.Duration(time.Now().UnixNano())%cycle) % cycle)
}

// roamLatency is not a whole number of microseconds, so that no answer comes at a moment of awaitOwnMoment.
const roamLatency = 50*time.Millisecond + 7

// jobs are the five typical ones, at the pace of programs that do not wait between their calls.
func jobs() []job {
	return []job{
		{name: "stand-up", tools: 3, run: func(w *worker) {
			w.get("/v1/token.info")
			w.get("/v1/groups.list")
			users := w.walk("/v1/user.list", "users")
			for i := range 8 {
				w.get("/v1/user.info?id=" + users[i])
				w.call("POST", "/v1/chat.post", fmt.Sprintf(`{"chatId":"C-%d","text":"stand-up"}`, w.n))
				w.get(fmt.Sprintf("/v1/chat.history?chatId=C-%d", w.n))
			}
		}},
		{name: "transcript-export", tools: 2, run: func(w *worker) {
			w.walk("/v1/user.list", "users")
			for _, id := range w.walk("/v1/meeting.list", "meetings")[:40] {
				w.get("/v1/meeting.transcript?meetingId=" + id)
			}
		}},
		{name: "dashboards", tools: 3, paced: true, run: func(w *worker) {
			for range 12 {
				next := time.Now().Add(5 * time.Second)
				for _, target := range []string{"/v1/groups.list", "/v1/user.list?expand=status", "/v1/meeting.list", "/v1/chat.history?chatId=C-1"} {
					w.awaitOwnMoment()
					w.get(target)
				}
				time.Sleep(time.Until(next))
			}
		}},
		{name: "scim-sync", tools: 2, run: func(w *worker) {
			var ids []string
			for start := 1; start <= 253; start += 100 {
				var page struct{ Resources []struct{ ID string } }
				json.Unmarshal(w.get(fmt.Sprintf("/scim/v2/Users?startIndex=%d&count=100", start)).Body.Bytes(), &page)
				for _, u := range page.Resources {
					ids = append(ids, u.ID)
				}
			}
			for _, id := range ids[:30] {
				w.get("/scim/v2/Users/" + id)
			}
		}},
		{name: "agents", tools: 3, paced: true, run: answerLikeAnAgent},
	}
}

// answerLikeAnAgent reads, streams an answer of 20 s, and shows that it is typing until the answer is complete.
func answerLikeAnAgent(w *worker) {
	chat := fmt.Sprintf(`"chatId":"C-%d"`, w.n)
	w.get("/v1/token.info")
	w.get(fmt.Sprintf("/v1/chat.history?chatId=C-%d", w.n))
	w.get("/v1/user.list")
	var begun struct{ Timestamp json.Number }
	json.Unmarshal(w.call("POST", "/v1/chat.startStream", `{`+chat+`,"text":"…"}`).Body.Bytes(), &begun)
	message := chat + `,"timestamp":` + begun.Timestamp.String()
	complete := make(chan struct{})
	var typing sync.WaitGroup
	typing.Go(func() {
		pulse := time.NewTicker(2 * time.Second)
		defer pulse.Stop()
		for {
			select {
			case <-pulse.C:
				typing.Go(func() { w.call("POST", "/v1/chat.typing", `{`+chat+`}`) })
			case <-complete:
				return
			}
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		w.call("POST", "/v1/chat.appendStream", `{`+message+`,"text":"more"}`)
	}
	close(complete)
	w.call("POST", "/v1/chat.stopStream", `{`+message+`,"text":"."}`)
	typing.Wait()
}

// jobCost is what a job cost.
type jobCost struct {
	asked, sent, refused int
	took                 time.Duration
}

// ideal is the least time in which so many calls can go: ten at once, and then one a second.
func (o jobCost) ideal() time.Duration { return max(time.Duration(o.sent-10)*time.Second, 0) }

func runJob(t *testing.T, j job, wide bool) (o jobCost) {
	synctest.Test(t, func(t *testing.T) {
		roam := roamtest.New(roamtest.Options{Latency: roamLatency})
		h := newHarness(t, roam, nil, func(p *setup) {
			p.jitter = 0
			p.queue.MaxWait = 10 * time.Minute
			if wide {
				p.proxy.Tables.Rules = []Rule{{Match: "GET /v*/*.list", PageSize: new(100)}}
			}
		})
		start := time.Now()
		workers := make([]*worker, j.tools)
		var all sync.WaitGroup
		for n := range workers {
			workers[n] = &worker{t: t, h: h, n: n}
			all.Go(func() { j.run(workers[n]) })
		}
		all.Wait()
		o.took = time.Since(start)
		for _, w := range workers {
			o.asked += int(w.asked.Load())
		}
		o.sent, o.refused = roam.Calls(), roam.Refused()
		checkAgents(t, j, roam)
	})
	return o
}

// checkAgents holds what people see of three agents that answer at once: no typing after an answer, and updates while it grows.
func checkAgents(t *testing.T, j job, roam *roamtest.Roam) {
	if j.name != "agents" {
		return
	}
	updates, complete := 0, 0
	for _, c := range roam.Journal() {
		switch {
		case strings.HasSuffix(c.Path, "appendStream"):
			updates++
		case strings.HasSuffix(c.Path, "stopStream"):
			complete++
		case strings.HasSuffix(c.Path, "typing") && complete == j.tools:
			t.Errorf("a typing pulse reached Roam after all answers were complete")
		}
	}
	if updates < 7*j.tools {
		t.Errorf("%d updates of %d answers, want at least 7 each", updates, j.tools)
	}
}

// The five jobs, with the defaults and with wide pages, in simulated time. The figures are kept in testdata/jobs.txt; a change of them is
// made on purpose, with -update-jobs.
func TestJobs(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-18s %-6s %6s %6s %6s %8s %8s\n", "job", "pages", "asked", "sent", "429s", "seconds", "ideal")
	for _, j := range jobs() {
		for _, pages := range []string{"usual", "wide"} {
			t.Run(j.name+" "+pages, func(t *testing.T) {
				o := runJob(t, j, pages == "wide")
				fmt.Fprintf(&table, "%-18s %-6s %6d %6d %6d %8.0f %8.0f\n", j.name, pages, o.asked, o.sent, o.refused, o.took.Seconds(),
					o.ideal().Seconds())
				if o.refused > 0 {
					t.Errorf("Roam refused %d calls, want none", o.refused)
				}
				if most := o.ideal()*102/100 + time.Second; !j.paced && o.took > most {
					t.Errorf("took %v for %d calls, want at most %v", o.took, o.sent, most)
				}
			})
		}
	}
	t.Log("\n" + table.String())
	if *updateJobs {
		if err := os.WriteFile(jobsFile, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(jobsFile)
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("the figures differ from %s:\n%s", jobsFile, want)
	}
}
